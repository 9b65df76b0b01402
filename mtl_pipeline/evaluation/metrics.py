"""Metrics of one model on one task, computed by scikit-learn.

A metric that the rows cannot define (ROC-AUC where every label is 1) is NaN with the reason, never an
exception and never a made-up zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn import metrics as sklearn_metrics

Kind = Literal["binary", "regression"]

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class Metric:
    """How a metric is named, read and compared."""

    name: str
    label: str
    higher_is_better: bool
    definition: str
    ranks_models: bool = True
    """False where a good value alone says nothing: predicting everything positive has recall 1."""


@dataclass(frozen=True)
class Score:
    """A metric's value; when it is NaN, `note` says why."""

    value: float
    note: str = ""


METRICS: dict[str, tuple[Metric, ...]] = {
    "binary": (
        Metric(
            "roc_auc",
            "ROC-AUC",
            True,
            "the chance that a random positive row ranks above a random negative one; 0.5 is guessing, 1 is perfect",
        ),
        Metric(
            "pr_auc",
            "PR-AUC",
            True,
            "average precision over all thresholds; guessing scores the share of positive rows",
        ),
        Metric(
            "log_loss",
            "log-loss",
            False,
            "how surprised the probabilities are by what happened, in nats per row; 0 is perfect",
        ),
        Metric("f1", "F1", True, "harmonic mean of precision and recall at the threshold"),
        Metric(
            "precision",
            "precision",
            True,
            "share of the rows predicted positive that are positive",
            ranks_models=False,
        ),
        Metric(
            "recall",
            "recall",
            True,
            "share of the positive rows that are predicted positive",
            ranks_models=False,
        ),
        Metric("accuracy", "accuracy", True, "share of the rows predicted right at the threshold"),
    ),
    "regression": (
        Metric(
            "rmse",
            "RMSE",
            False,
            "root of the mean squared error, in the label's units; large errors weigh more",
        ),
        Metric("mse", "MSE", False, "mean squared error, in the label's units squared"),
        Metric("mae", "MAE", False, "mean absolute error, in the label's units"),
    ),
}

COMPARED: dict[str, tuple[str, ...]] = {"binary": ("roc_auc", "log_loss"), "regression": ("rmse", "mae")}
"""Metrics compared by pairs. The first is the headline: the one a task's verdict is about."""


def metric(kind: str, name: str) -> Metric:
    return next(metric for metric in METRICS[kind] if metric.name == name)


def headline(kind: str) -> Metric:
    return metric(kind, COMPARED[kind][0])


def best_f1_threshold(labels: np.ndarray, probabilities: np.ndarray) -> Score:
    """The threshold with the highest F1; a row is positive when its probability is at least that.

    Of several equally good thresholds the lowest. 0.5, with a note, when the rows hold no positive label.
    """
    if not labels.any():
        return Score(DEFAULT_THRESHOLD, "no positive validation row to choose a threshold on")
    precision, recall, thresholds = sklearn_metrics.precision_recall_curve(labels, probabilities)
    total = precision[:-1] + recall[:-1]
    f1 = 2 * precision[:-1] * recall[:-1] / np.where(total > 0, total, 1)
    return Score(float(thresholds[np.argmax(f1)]))


def binary_scores(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> dict[str, Score]:
    """Every binary metric. `labels` (rows,) of 0 and 1, `probabilities` (rows,) in [0, 1]."""
    if len(labels) == 0:
        return undefined("binary", "no row with an observed label")
    predicted = probabilities >= threshold
    precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(
        labels, predicted, average="binary", zero_division=math.nan
    )
    scores = {
        "log_loss": Score(float(sklearn_metrics.log_loss(labels, probabilities, labels=[0, 1]))),
        "f1": defined_or(f1, "no positive row and none predicted"),
        "precision": defined_or(precision, "no row predicted positive"),
        "recall": defined_or(recall, "no positive row"),
        "accuracy": Score(float(sklearn_metrics.accuracy_score(labels, predicted))),
    }
    if labels.min() == labels.max():
        reason = f"only one class: every observed label is {labels[0]:.0f}"
        return scores | {"roc_auc": Score(math.nan, reason), "pr_auc": Score(math.nan, reason)}
    return scores | {
        "roc_auc": Score(float(sklearn_metrics.roc_auc_score(labels, probabilities))),
        "pr_auc": Score(float(sklearn_metrics.average_precision_score(labels, probabilities))),
    }


def regression_scores(labels: np.ndarray, predictions: np.ndarray) -> dict[str, Score]:
    """Every regression metric. `labels` and `predictions` (rows,) in the label's units."""
    if len(labels) == 0:
        return undefined("regression", "no row with an observed label")
    mse = float(sklearn_metrics.mean_squared_error(labels, predictions))
    return {
        "rmse": Score(math.sqrt(mse)),
        "mse": Score(mse),
        "mae": Score(float(sklearn_metrics.mean_absolute_error(labels, predictions))),
    }


def undefined(kind: str, reason: str) -> dict[str, Score]:
    return {metric.name: Score(math.nan, reason) for metric in METRICS[kind]}


def defined_or(value: float, reason: str) -> Score:
    return Score(float(value), reason if math.isnan(value) else "")
