"""A number: a rating, an amount, a time spent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mtl_pipeline.kinds.base import DeclaredTask, Fault, LabelRule, TaskKind
from mtl_pipeline.metrics.metric import MAE, RMSE, Metric, Score, defined_or

if TYPE_CHECKING:
    import polars as pl
    from torch import Tensor

HUBER_DELTA = 1.0
"""In standard deviations of the label: errors beyond it count linearly."""


class Regression(TaskKind):
    """The network predicts it in standard deviations from the training labels' mean."""

    name = "regression"
    says = "a number"
    losses = ("squared_error", "absolute_error", "huber")
    calibrations = ("line",)
    metrics = (
        RMSE,
        Metric("mse", "MSE", False, "mean squared error, in the label's units squared"),
        MAE,
        Metric(
            "r2",
            "R²",
            True,
            "share of the labels' variance that is explained; always answering their mean scores 0, 1 is perfect",
        ),
    )
    summarised = ("rmse", "mae", "r2")
    compared = ("rmse", "mae")
    error_label = "squared error (label units²)"
    drawn_as = "number"
    calibration_measures = ("rmse",)
    ceiling_measure = "mse"
    learned = "rmse"
    tree_objective = "regression"
    telling = "rmse"
    is_standardised = True
    label_rule = LabelRule("finite", "one infinite label ruins the loss", "isfinite({label}::DOUBLE)")
    noise_scale = 0.5

    def row_losses(self, logits: Tensor, labels: Tensor, task: DeclaredTask) -> Tensor:
        from torch.nn import functional

        if task.loss_name == "huber":
            return functional.huber_loss(logits[:, 0], labels, delta=HUBER_DELTA, reduction="none")
        errors = logits[:, 0] - labels
        return errors.abs() if task.loss_name == "absolute_error" else errors**2

    def predictions(self, logits: Tensor) -> Tensor:
        return logits[:, 0]

    def constant_logits(self, labels: Tensor, task: DeclaredTask) -> Tensor:
        return (labels.median() if task.loss_name == "absolute_error" else labels.mean())[None]

    def label_fault(self, label: pl.Expr, classes: int) -> Fault:
        return Fault(~label.is_finite(), "labels are NaN or infinite")

    def compared_losses(self, labels: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
        return {"rmse": (predicted - labels) ** 2, "mae": np.abs(predicted - labels)}

    def further_scores(self, labels: np.ndarray, predicted: np.ndarray) -> dict[str, Score]:
        from sklearn import metrics

        varied = labels.min() < labels.max()
        r2 = metrics.r2_score(labels, predicted) if varied else math.nan
        return {
            "mse": Score(float(((predicted - labels) ** 2).mean())),
            "r2": defined_or(r2, "every observed label is the same"),
        }

    def linear_model(self) -> Any:
        from sklearn.linear_model import Ridge

        return Ridge(alpha=1.0)
