"""What the pipeline has to know about a kind of task. Each kind is a file of its own, and a line in `KINDS`.

torch, scikit-learn and scipy are imported where they are used: reading a declaration does not need them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from mtl_pipeline.metrics.metric import CEILING_SHARE, NO_ROWS, Metric, Score

if TYPE_CHECKING:
    import polars as pl
    from torch import Tensor

SMALLEST_RATE = 1e-6
"""Rates of labels are kept this far from 0 and 1, where a logit or a logarithm is finite."""


class DeclaredTask(Protocol):
    """What a kind reads of a task's declaration."""

    @property
    def loss_name(self) -> str: ...

    positive_weight: float
    classes: list[str]


@dataclass(frozen=True)
class LabelRule:
    """Which labels are possible, and why no others."""

    domain: str
    why: str
    holds: str
    """SQL over the column `{label}`; `{classes}` are the declared classes as literals."""


@dataclass(frozen=True)
class Fault:
    """Something that no label or prediction may be."""

    wrong: pl.Expr
    what: str
    remedy: str = ""


@dataclass(frozen=True)
class Measured:
    """Every metric of one model on one task."""

    scores: dict[str, Score]
    """Metric → score."""
    threshold: Score | None = None
    """That of the scores, for kinds that have one."""


class TaskKind(ABC):
    """One kind of task.

    `logits` [rows, n] are what the network gives for a task, `predictions` what is published: [rows], or
    [rows, classes] where `has_classes`. Labels are numbers, classes by their place, NaN where not observed.
    """

    name: ClassVar[str]
    says: ClassVar[str]
    """What the label is, in words."""
    losses: ClassVar[tuple[str, ...]]
    """Names of the losses that it may be trained with, the default first."""
    calibrations: ClassVar[tuple[str, ...]]
    """Methods of calibration to try, see learning's calibration."""
    metrics: ClassVar[tuple[Metric, ...]]
    summarised: ClassVar[tuple[str, ...]]
    """Names of the metrics that the terminal shows, the headline first."""
    compared: ClassVar[tuple[str, ...]]
    """Names of the metrics compared by pairs. The first is the headline: the one a task's verdict is about."""
    calibration_measures: ClassVar[tuple[str, ...]]
    """What is measured before and after calibration."""
    error_label: ClassVar[str]
    """How the first of the `compared_losses` of one row is named, with its unit."""
    drawn_as: ClassVar[str]
    """Which figures the report draws: `event`, `number`, `count` or `classes`."""
    ceiling_measure: ClassVar[str]
    """The loss in which the way to the ceiling is measured: the true expectation has the lowest on average."""
    learned: ClassVar[str]
    """The metric in which a constant answer has to be beaten."""
    tree_objective: ClassVar[str]
    """What LightGBM calls the loss that boosted trees are fitted with."""
    telling: ClassVar[str]
    """The metric that is undefined where the test rows say nothing about the task."""
    margin: ClassVar[float] = 0.005
    """How much worse than the champion a challenger may be in the headline."""
    margin_is_relative: ClassVar[bool] = True
    """Whether the margin is a share of the champion's value, or in the headline's own units."""
    has_classes: ClassVar[bool] = False
    """Whether a prediction is a probability for each of the declared classes."""
    is_event: ClassVar[bool] = False
    """Whether it happens or not: others may be `given` it, and probabilities along such a chain multiply."""
    counts_events: ClassVar[bool] = False
    """Whether a label above 0 says that something happened, so that its `given` task must have happened too."""
    is_ordered: ClassVar[bool] = True
    """Whether a higher prediction means more, so that items can be ranked by it."""
    is_standardised: ClassVar[bool] = False
    """Whether the network learns the label in standard deviations from its training mean."""
    one_label_says_nothing: ClassVar[bool] = False
    """Whether rows with the same label throughout cannot be scored."""
    label_rule: ClassVar[LabelRule]
    noise_scale: ClassVar[float] = 1.0
    """Factor on 1 / variance in uncertainty weighting: 1/2 for a Gaussian, 1 for other likelihoods."""

    # What the network gives, and what that means

    def logits(self, classes: int) -> int:
        """How many numbers the network gives for a row of a task with so many declared classes."""
        return 1

    @abstractmethod
    def row_losses(self, logits: Tensor, labels: Tensor, task: DeclaredTask) -> Tensor:
        """Loss of each row, float32 [rows], from logits [rows, n] and labels [rows], all observed."""

    @abstractmethod
    def predictions(self, logits: Tensor) -> Tensor:
        """From logits to predictions."""

    @abstractmethod
    def constant_logits(self, labels: Tensor, task: DeclaredTask) -> Tensor:
        """The logits, [n], of the best constant answer to the observed labels [rows]."""

    def is_number(self, classes: Sequence[str]) -> bool:
        """Whether the label's column holds numbers, of which history can take the mean."""
        return True

    def shown(self, predictions: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """What is shown beside a recommendation, [rows]; its score may name it where `is_ordered`."""
        return predictions

    # What may stand in the data

    @abstractmethod
    def label_fault(self, label: pl.Expr, classes: int) -> Fault:
        """`label`: Float64."""

    def prediction_faults(self, values: Sequence[pl.Expr]) -> Iterator[Fault]:
        """Of finite predictions; `values`: Float64, one for each class where there are classes."""
        return iter(())

    # How good predictions are

    @abstractmethod
    def compared_losses(self, labels: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
        """Compared metric → (rows,) the losses that it is the mean of; for RMSE the squared errors."""

    def further_scores(self, labels: np.ndarray, predicted: np.ndarray) -> dict[str, Score]:
        """The metrics of at least one row that `compared_losses` does not give."""
        return {}

    def measure(
        self,
        labels: np.ndarray,
        predicted: np.ndarray,
        *,
        threshold: Score | None = None,
        users: np.ndarray | None = None,
    ) -> Measured:
        """Every metric. `users` (rows,) int, where they are known."""
        if len(labels) == 0:
            return Measured({metric.name: Score(math.nan, NO_ROWS) for metric in self.metrics})
        means = {name: Score(mean) for name, mean in self.measured_means(labels, predicted).items()}
        scores = means | self.further_scores(labels, predicted)
        return Measured({metric.name: scores[metric.name] for metric in self.metrics})

    def measured_means(self, labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
        """The `compared_losses` of at least one row as metrics."""
        losses = self.compared_losses(labels, predicted)
        means = {name: float(of_rows.mean()) for name, of_rows in losses.items()}
        return {name: math.sqrt(mean) if name == "rmse" else mean for name, mean in means.items()}

    def values(self, labels: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> dict[str, float]:
        """Some of `compared` and `calibration_measures` of at least one row, as `measure` gives them, but faster."""
        means = self.measured_means(labels, predicted)
        return {name: means[name] for name in names}

    def metric(self, name: str) -> Metric:
        return next(metric for metric in (*self.metrics, CEILING_SHARE) if metric.name == name)

    @property
    def headline(self) -> Metric:
        return self.metric(self.compared[0])

    # Simple models

    def constant_prediction(self, labels: np.ndarray, classes: int) -> Any:
        """The best constant answer to observed labels: a number, or [classes]."""
        return labels.mean(dtype=np.float64)

    @abstractmethod
    def linear_model(self) -> Any:
        """A scikit-learn estimator."""

    def fitted_predictions(self, estimator: Any, inputs: np.ndarray, classes: int) -> np.ndarray:
        """Predictions, float64, of an estimator fitted to labels."""
        return estimator.predict(inputs).astype(np.float64)
