"""How often something happened: 0, 1, 2 …"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mtl_pipeline.kinds.base import SMALLEST_RATE, DeclaredTask, Fault, LabelRule, TaskKind
from mtl_pipeline.metrics.losses import SMALLEST_COUNT, poisson_deviances
from mtl_pipeline.metrics.metric import MAE, RMSE, Metric, Score, defined_or

if TYPE_CHECKING:
    import polars as pl
    from torch import Tensor


class Count(TaskKind):
    """The network predicts the logarithm of the expected count (Poisson regression)."""

    name = "count"
    says = "a count from 0 on"
    losses = ("poisson",)
    calibrations = ("factor",)
    metrics = (
        Metric(
            "poisson_deviance",
            "deviance",
            False,
            "mean Poisson deviance: how surprised the expected counts are by the counts, in nats per row times two; "
            "0 is perfect",
            unit="nats per row × 2",
        ),
        Metric(
            "d2",
            "D²",
            True,
            "share of the deviance that is explained; always answering these rows' mean scores 0, 1 is perfect",
        ),
        RMSE,
        MAE,
    )
    summarised = ("poisson_deviance", "d2", "rmse", "mae")
    compared = ("poisson_deviance", "mae")
    error_label = "deviance (nats × 2)"
    drawn_as = "count"
    calibration_measures = ("poisson_deviance",)
    ceiling_measure = "poisson_deviance"
    learned = "poisson_deviance"
    tree_objective = "poisson"
    telling = "poisson_deviance"
    counts_events = True
    label_rule = LabelRule(
        "a whole number from 0 on",
        "other values are no counts",
        "isfinite({label}::DOUBLE) AND {label} >= 0 AND {label}::DOUBLE = floor({label}::DOUBLE)",
    )

    def row_losses(self, logits: Tensor, labels: Tensor, task: DeclaredTask) -> Tensor:
        """Half the Poisson deviance, rate - y·log(rate) + y·log(y) - y: 0 where the rate equals the count."""
        log_rates = logits[:, 0]
        return log_rates.exp() - labels * log_rates + labels.xlogy(labels) - labels

    def predictions(self, logits: Tensor) -> Tensor:
        return logits[:, 0].exp()

    def constant_logits(self, labels: Tensor, task: DeclaredTask) -> Tensor:
        return labels.mean().clamp(min=SMALLEST_RATE).log()[None]

    def label_fault(self, label: pl.Expr, classes: int) -> Fault:
        is_count = label.is_finite() & (label == label.floor()) & (label >= 0)
        return Fault(~is_count, "labels are no whole numbers from 0 upwards")

    def prediction_faults(self, values: Sequence[pl.Expr]) -> Iterator[Fault]:
        yield Fault(
            values[0] < 0,
            "predictions are below zero",
            "A count task needs expected counts; apply the exponential to the model's output",
        )

    def compared_losses(self, labels: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
        return {"poisson_deviance": poisson_deviances(labels, predicted), "mae": np.abs(predicted - labels)}

    def further_scores(self, labels: np.ndarray, predicted: np.ndarray) -> dict[str, Score]:
        from sklearn import metrics

        varied = labels.min() < labels.max()
        positive = np.maximum(predicted, SMALLEST_COUNT)
        d2 = metrics.d2_tweedie_score(labels, positive, power=1) if varied else math.nan
        return {
            "d2": defined_or(d2, "every observed count is the same"),
            "rmse": Score(float(metrics.root_mean_squared_error(labels, predicted))),
        }

    def linear_model(self) -> Any:
        from sklearn.linear_model import PoissonRegressor

        return PoissonRegressor(alpha=1e-4, max_iter=500)
