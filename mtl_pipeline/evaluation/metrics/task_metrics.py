"""Metrics of one model on one task, by scikit-learn where it has them.

ROC-AUC, PR-AUC and the threshold with the best F1 all come from one call of scikit-learn that counts the rows at
every threshold: it sorts, which is what costs.

A metric that the rows cannot define (ROC-AUC where every label is 1) is NaN with the reason, never an
exception and never a made-up zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy
from sklearn import metrics as sklearn_metrics

from mtl_pipeline.evaluation.metrics.curves import ThresholdCounts, reliability, threshold_counts
from mtl_pipeline.evaluation.metrics.losses import SMALLEST_COUNT, compared_losses, log_losses
from mtl_pipeline.evaluation.metrics.ranking import grouped_roc_auc, score_levels

DEFAULT_THRESHOLD = 0.5
CALIBRATION_BINS = 15
NO_ROWS = "no row with an observed label"


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


LOG_LOSS = Metric(
    "log_loss",
    "log-loss",
    False,
    "how surprised the probabilities are by what happened, in nats per row; 0 is perfect",
)
ACCURACY = Metric(
    "accuracy",
    "accuracy",
    True,
    "share of the rows predicted right: at the threshold, or of several classes the most probable",
)
RMSE = Metric(
    "rmse", "RMSE", False, "root of the mean squared error, in the label's units; large errors weigh more"
)
MAE = Metric("mae", "MAE", False, "mean absolute error, in the label's units")

METRICS: dict[str, tuple[Metric, ...]] = {
    "binary": (
        Metric(
            "roc_auc",
            "ROC-AUC",
            True,
            "the chance that a random positive row ranks above a random negative one; 0.5 is guessing, 1 is perfect",
        ),
        Metric(
            "gauc",
            "GAUC",
            True,
            "ROC-AUC within each user who has positive and negative rows, averaged by their rows: how well a user's "
            "own list is ordered, whoever uses more",
        ),
        Metric(
            "pr_auc",
            "PR-AUC",
            True,
            "average precision over all thresholds; guessing scores the share of positive rows",
        ),
        LOG_LOSS,
        Metric(
            "normalised_entropy",
            "normalised entropy",
            False,
            "log-loss over that of always answering these rows' own share of positives; 1 is no better than that",
        ),
        Metric(
            "brier", "Brier", False, "mean squared difference between probability and what happened (0 or 1)"
        ),
        Metric(
            "ece",
            "ECE",
            False,
            f"expected calibration error: mean gap between predicted and observed share over {CALIBRATION_BINS} "
            "bins of equally many rows; 0 is perfectly calibrated, which a constant can be",
            ranks_models=False,
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
        ACCURACY,
    ),
    "regression": (
        RMSE,
        Metric("mse", "MSE", False, "mean squared error, in the label's units squared"),
        MAE,
        Metric(
            "r2",
            "R²",
            True,
            "share of the labels' variance that is explained; always answering their mean scores 0, 1 is perfect",
        ),
    ),
    "count": (
        Metric(
            "poisson_deviance",
            "deviance",
            False,
            "mean Poisson deviance: how surprised the expected counts are by the counts, in nats per row times two; "
            "0 is perfect",
        ),
        Metric(
            "d2",
            "D²",
            True,
            "share of the deviance that is explained; always answering these rows' mean scores 0, 1 is perfect",
        ),
        RMSE,
        MAE,
    ),
    "multiclass": (
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
    ),
}
"""By kind of task. A class that no observed row has does not enter a mean over classes."""

CEILING_SHARE = Metric(
    "ceiling_share",
    "way to ceiling",
    True,
    "how far a model has come from the constant answer (0) to the ceiling, the best possible (1)",
)
CEILING_MEASURE = {
    "binary": "log_loss",
    "regression": "mse",
    "count": "poisson_deviance",
    "multiclass": "log_loss",
}
"""The loss in which the way to the ceiling is measured: the true expectation has the lowest on average."""

COMPARED: dict[str, tuple[str, ...]] = {
    "binary": ("roc_auc", "log_loss"),
    "regression": ("rmse", "mae"),
    "count": ("poisson_deviance", "mae"),
    "multiclass": ("log_loss", "accuracy"),
}
"""Metrics compared by pairs. The first is the headline: the one a task's verdict is about."""

WHOLE_CHAIN = ("roc_auc", "pr_auc", "log_loss")
"""Metrics of the probability that a whole chain of binary tasks happens."""


CALIBRATION_MEASURES: dict[str, tuple[str, ...]] = {
    "binary": ("ece", "log_loss"),
    "regression": ("rmse",),
    "count": ("poisson_deviance",),
    "multiclass": ("log_loss",),
}
"""What is measured before and after calibration."""


def metric(kind: str, name: str) -> Metric:
    return next(metric for metric in (*METRICS[kind], CEILING_SHARE) if metric.name == name)


def headline(kind: str) -> Metric:
    return metric(kind, COMPARED[kind][0])


def best_f1_threshold(
    labels: np.ndarray, probabilities: np.ndarray, counts: ThresholdCounts | None = None
) -> Score:
    """The threshold with the highest F1; a row is positive when its probability is at least that.

    Of several equally good thresholds the lowest. 0.5, with a note, when the rows hold no positive label.
    `counts` spares counting once more.
    """
    if not labels.any():
        return Score(DEFAULT_THRESHOLD, "no positive validation row to choose a threshold on")
    counts = counts or threshold_counts(labels, probabilities)
    called_positive = counts.true_positives + counts.false_positives
    f1 = 2 * counts.true_positives / (called_positive + counts.true_positives[-1])
    return Score(float(counts.thresholds[np.flatnonzero(f1 == f1.max())[-1]]))


def binary_scores(
    labels: np.ndarray,
    probabilities: np.ndarray,
    threshold: float,
    users: np.ndarray | None = None,
    counts: ThresholdCounts | None = None,
) -> dict[str, Score]:
    """Every binary metric. `labels` (rows,) of 0 and 1, `probabilities` (rows,) in [0, 1], `users` (rows,) int;
    GAUC is left out without users. `counts` spares counting once more."""
    if len(labels) == 0:
        return undefined("binary", NO_ROWS, without=() if users is not None else ("gauc",))
    predicted = probabilities >= threshold
    precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(
        labels, predicted, average="binary", zero_division=math.nan
    )
    scores = ranking_scores(labels, probabilities, counts) | {
        "brier": Score(float(sklearn_metrics.brier_score_loss(labels, probabilities, labels=[0, 1]))),
        "ece": Score(calibration_error(labels, probabilities)),
        "f1": defined_or(f1, "no positive row and none predicted"),
        "precision": defined_or(precision, "no row predicted positive"),
        "recall": defined_or(recall, "no positive row"),
        "accuracy": Score(float(sklearn_metrics.accuracy_score(labels, predicted))),
    }
    base_entropy = entropy(float(labels.mean()))
    scores["normalised_entropy"] = (
        Score(scores["log_loss"].value / base_entropy)
        if base_entropy
        else Score(math.nan, scores["roc_auc"].note)
    )
    if users is not None:
        gauc = grouped_roc_auc(labels, score_levels(probabilities).level, users)
        scores["gauc"] = defined_or(gauc, "no user has both a positive and a negative row")
    return scores


def ranking_scores(
    labels: np.ndarray, probabilities: np.ndarray, counts: ThresholdCounts | None = None
) -> dict[str, Score]:
    """ROC-AUC, PR-AUC and log-loss, which need no threshold."""
    # The mean of what the bootstrap resamples: scikit-learn's log_loss to the last digit, in a thirtieth of its time.
    scores = {"log_loss": Score(float(log_losses(labels, probabilities).mean()))}
    if labels.min() == labels.max():
        reason = f"only one class: every observed label is {labels[0]:.0f}"
        return scores | dict.fromkeys(("roc_auc", "pr_auc"), Score(math.nan, reason))
    counts = counts or threshold_counts(labels, probabilities)
    return scores | {"roc_auc": Score(counts.roc_auc), "pr_auc": Score(counts.average_precision)}


def entropy(rate: float) -> float:
    """Log-loss, in nats per row, of always answering the rate of positives."""
    return float(-xlogy(rate, rate) - xlogy(1 - rate, 1 - rate))


def calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean gap between predicted probability and observed share, over bins of equally many rows."""
    bins = reliability(labels, probabilities, CALIBRATION_BINS)
    return float(np.average(np.abs(bins.predicted - bins.observed), weights=bins.rows))


def regression_scores(labels: np.ndarray, predictions: np.ndarray) -> dict[str, Score]:
    """Every regression metric. `labels` and `predictions` (rows,) in the label's units."""
    if len(labels) == 0:
        return undefined("regression", NO_ROWS)
    mse = float(sklearn_metrics.mean_squared_error(labels, predictions))
    varied = labels.min() < labels.max()
    return {
        "rmse": Score(math.sqrt(mse)),
        "mse": Score(mse),
        "mae": Score(float(sklearn_metrics.mean_absolute_error(labels, predictions))),
        "r2": Score(float(sklearn_metrics.r2_score(labels, predictions)))
        if varied
        else Score(math.nan, "every observed label is the same"),
    }


def count_scores(counts: np.ndarray, expected: np.ndarray) -> dict[str, Score]:
    """Every metric of counts. `counts` (rows,) 0, 1, 2 …, `expected` (rows,) at least 0."""
    if len(counts) == 0:
        return undefined("count", NO_ROWS)
    positive = np.maximum(expected, SMALLEST_COUNT)
    varied = counts.min() < counts.max()
    return {
        "poisson_deviance": Score(float(sklearn_metrics.mean_poisson_deviance(counts, positive))),
        "d2": Score(float(sklearn_metrics.d2_tweedie_score(counts, positive, power=1)))
        if varied
        else Score(math.nan, "every observed count is the same"),
        "rmse": Score(float(sklearn_metrics.root_mean_squared_error(counts, expected))),
        "mae": Score(float(sklearn_metrics.mean_absolute_error(counts, expected))),
    }


def multiclass_scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Score]:
    """Every metric of classes. `labels` (rows,) class indices, `probabilities` (rows, classes)."""
    if len(labels) == 0:
        return undefined("multiclass", NO_ROWS)
    classes = np.arange(probabilities.shape[1])
    predicted = probabilities.argmax(axis=1)
    occurring = np.flatnonzero(np.bincount(labels.astype(np.int64)))
    _, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(
        labels, predicted, labels=occurring, zero_division=0
    )
    scaled = probabilities / probabilities.sum(axis=1, keepdims=True)
    scores = {
        "log_loss": Score(float(sklearn_metrics.log_loss(labels, scaled, labels=classes))),
        "accuracy": Score(float(sklearn_metrics.accuracy_score(labels, predicted))),
        "balanced_accuracy": Score(float(recall.mean())),
        "macro_f1": Score(float(f1.mean())),
    }
    if len(occurring) < 2:
        reason = f"only one class: every observed label is class {occurring[0]}"
        return scores | {"macro_roc_auc": Score(math.nan, reason)}
    one_against_rest = [
        threshold_counts(labels == place, probabilities[:, place]).roc_auc for place in occurring
    ]
    return scores | {"macro_roc_auc": Score(float(np.mean(one_against_rest)))}


def calibration_scores(kind: str, labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """CALIBRATION_MEASURES of at least one row, with the values that the scorers give."""
    means = {name: float(losses.mean()) for name, losses in compared_losses(kind, labels, predicted).items()}
    if kind == "binary":
        means["ece"] = calibration_error(labels, predicted)
    if kind == "regression":
        means["rmse"] = math.sqrt(means["rmse"])
    return {name: means[name] for name in CALIBRATION_MEASURES[kind]}


def ceiling_share(model: float, constant: float, ceiling: float) -> Score:
    """The share of the way from `constant` to `ceiling` that `model` has gone, in one loss."""
    if any(map(math.isnan, (model, constant, ceiling))):
        return Score(math.nan, "a loss is undefined")
    if ceiling >= constant:
        return Score(math.nan, "on these rows the ceiling is not better than the constant answer")
    return Score((constant - model) / (constant - ceiling))


def undefined(kind: str, reason: str, without: tuple[str, ...] = ()) -> dict[str, Score]:
    return {metric.name: Score(math.nan, reason) for metric in METRICS[kind] if metric.name not in without}


def defined_or(value: float, reason: str) -> Score:
    return Score(float(value), reason if math.isnan(value) else "")
