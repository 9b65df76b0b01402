"""One of several classes without an order: a reason, a device, a reaction."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mtl_pipeline.kinds.base import SMALLEST_RATE, DeclaredTask, Fault, LabelRule, TaskKind
from mtl_pipeline.metrics.losses import class_log_losses
from mtl_pipeline.metrics.metric import ACCURACY, LOG_LOSS, Metric, Score, defined_or

if TYPE_CHECKING:
    import polars as pl
    from torch import Tensor

MOST_ROUNDING = 1e-3
"""How far from 1 the probabilities of a row may add up: bfloat16 rounds that much."""


class Multiclass(TaskKind):
    """The network predicts a logit for each class (softmax regression)."""

    name = "multiclass"
    says = "one of `classes`"
    losses = ("cross_entropy",)
    calibrations = ("temperature",)
    metrics = (
        LOG_LOSS,
        ACCURACY,
        Metric(
            "balanced_accuracy",
            "balanced accuracy",
            True,
            "mean over the classes of the share of their rows predicted right: rare classes count as much",
        ),
        Metric("macro_f1", "macro F1", True, "mean over the classes of F1, each class against the rest"),
        Metric(
            "macro_roc_auc",
            "macro ROC-AUC",
            True,
            "mean over the classes of ROC-AUC, each class against the rest; 0.5 is guessing",
        ),
    )
    """A class that no observed row has does not enter a mean over classes."""
    summarised = ("log_loss", "accuracy", "balanced_accuracy", "macro_f1")
    compared = ("log_loss", "accuracy")
    error_label = "log-loss (nats)"
    drawn_as = "classes"
    calibration_measures = ("log_loss",)
    ceiling_measure = "log_loss"
    learned = "log_loss"
    tree_objective = "multiclass"
    telling = "macro_roc_auc"
    has_classes = True
    is_ordered = False
    one_label_says_nothing = True
    label_rule = LabelRule(
        "one of {names}", "defs.yaml declares no other class", "{label}::VARCHAR IN ({classes})"
    )

    def logits(self, classes: int) -> int:
        return classes

    def row_losses(self, logits: Tensor, labels: Tensor, task: DeclaredTask) -> Tensor:
        from torch.nn import functional

        return functional.cross_entropy(logits, labels.long(), reduction="none")

    def predictions(self, logits: Tensor) -> Tensor:
        return logits.softmax(1)

    def constant_logits(self, labels: Tensor, task: DeclaredTask) -> Tensor:
        shares = labels.long().bincount(minlength=len(task.classes)) / len(labels)
        return shares.clamp(min=SMALLEST_RATE).log()

    def is_number(self, classes: Sequence[str]) -> bool:
        return False

    def shown(self, predictions: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """The most probable class."""
        return np.array(classes, dtype=object)[predictions.argmax(axis=1)]

    def label_fault(self, label: pl.Expr, classes: int) -> Fault:
        is_class = (label == label.floor()) & label.is_between(0, classes - 1)
        return Fault(~is_class, f"labels are no class index from 0 to {classes - 1}")

    def prediction_faults(self, values: Sequence[pl.Expr]) -> Iterator[Fault]:
        import polars as pl

        remedy = f"A {self.name} task needs probabilities; apply the softmax to the model's output"
        outside = pl.any_horizontal(~value.is_between(0, 1) for value in values)
        yield Fault(outside, "predictions are outside [0, 1]", remedy)
        unequal = (pl.sum_horizontal(values) - 1).abs() > MOST_ROUNDING
        yield Fault(unequal, "predictions do not add up to 1 over the classes", remedy)

    def compared_losses(self, labels: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "log_loss": class_log_losses(labels, predicted),
            "accuracy": (predicted.argmax(axis=1) == labels).astype(np.float64),
        }

    def further_scores(self, labels: np.ndarray, predicted: np.ndarray) -> dict[str, Score]:
        from sklearn import metrics

        from mtl_pipeline.metrics.thresholds import threshold_counts

        most_probable = predicted.argmax(axis=1)
        occurring = np.flatnonzero(np.bincount(labels.astype(np.int64)))
        _, recall, f1, _ = metrics.precision_recall_fscore_support(
            labels, most_probable, labels=occurring, zero_division=0
        )
        roc_aucs = [math.nan]
        if len(occurring) > 1:
            roc_aucs = [threshold_counts(labels == place, predicted[:, place]).roc_auc for place in occurring]
        only_one = f"only one class: every observed label is class {occurring[0]}"
        return {
            "balanced_accuracy": Score(float(recall.mean())),
            "macro_f1": Score(float(f1.mean())),
            "macro_roc_auc": defined_or(float(np.mean(roc_aucs)), only_one),
        }

    def constant_prediction(self, labels: np.ndarray, classes: int) -> np.ndarray:
        return np.bincount(labels.astype(np.int64), minlength=classes) / len(labels)

    def linear_model(self) -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(max_iter=500)

    def fitted_predictions(self, estimator: Any, inputs: np.ndarray, classes: int) -> np.ndarray:
        probabilities = np.zeros((len(inputs), classes))
        probabilities[:, estimator.classes_.astype(np.int64)] = estimator.predict_proba(inputs)
        return probabilities
