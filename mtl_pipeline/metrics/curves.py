"""What the figures show, as small arrays: however many rows come in, at most a few hundred points go out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn import metrics as sklearn_metrics

from mtl_pipeline.metrics.thresholds import ThresholdCounts

Curve = tuple[np.ndarray, np.ndarray]
"""x and y, (points,) each."""
MOST_POINTS = 400
MOST_LABEL_VALUES = 12


@dataclass(frozen=True)
class Reliability:
    """Rows in bins of predicted probability or expected count, about equally many in each; ties stay together."""

    predicted: np.ndarray
    """(bins,) mean prediction."""
    observed: np.ndarray
    """(bins,) mean label: the share of positive rows, or the mean count."""
    rows: np.ndarray
    """(bins,) int."""


@dataclass(frozen=True)
class LabelGroups:
    """Rows grouped by label: by value where there are few values, by quantile otherwise."""

    centre: np.ndarray
    """(groups,) mean label."""
    group: np.ndarray
    """(rows,) int: group of each row."""
    rows: np.ndarray
    """(groups,) int."""
    by_value: bool


def thin(x: np.ndarray, y: np.ndarray, limit: int = MOST_POINTS) -> Curve:
    """At most `limit` points of a curve, spread evenly along its length, both ends kept."""
    if len(x) <= limit:
        return x, y
    travelled = np.r_[0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))]
    places = np.searchsorted(travelled, np.linspace(0, travelled[-1], limit))
    kept = np.unique(np.r_[0, np.minimum(places, len(x) - 1), len(x) - 1])
    return x[kept], y[kept]


def roc_points(counts: ThresholdCounts) -> Curve:
    """False positive rate and true positive rate."""
    return thin(np.r_[0, counts.fall_out], np.r_[0, counts.recall])


def precision_recall_points(counts: ThresholdCounts) -> Curve:
    """Recall and precision, from the threshold that finds the first positive row."""
    some = counts.true_positives > 0
    return thin(counts.recall[some], counts.precision[some])


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> Reliability:
    edges = np.unique(np.quantile(probabilities, np.linspace(0, 1, bins + 1)[1:-1]))
    bin_of_row = np.searchsorted(edges, probabilities, side="left")
    rows = np.bincount(bin_of_row)
    filled = rows > 0
    return Reliability(
        predicted=np.bincount(bin_of_row, weights=probabilities)[filled] / rows[filled],
        observed=np.bincount(bin_of_row, weights=labels)[filled] / rows[filled],
        rows=rows[filled],
    )


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int) -> float:
    """Mean gap between predicted probability and observed share, over bins of equally many rows."""
    curve = reliability(labels, probabilities, bins)
    return float(np.average(np.abs(curve.predicted - curve.observed), weights=curve.rows))


def label_groups(labels: np.ndarray, most: int = MOST_LABEL_VALUES) -> LabelGroups:
    values, group = np.unique(labels, return_inverse=True)
    by_value = len(values) <= most
    if not by_value:
        edges = np.unique(np.quantile(labels, np.linspace(0, 1, most + 1)[1:-1]))
        _, group = np.unique(np.searchsorted(edges, labels, side="left"), return_inverse=True)
    rows = np.bincount(group)
    return LabelGroups(np.bincount(group, weights=labels) / rows, group, rows, by_value)


def group_means(groups: LabelGroups, values: np.ndarray) -> np.ndarray:
    """(groups,) mean of `values` (rows,) in each group."""
    return np.bincount(groups.group, weights=values, minlength=len(groups.rows)) / groups.rows


def confusion(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(classes, classes): of the rows of each class, the share predicted as each; NaN for a class without rows."""
    classes = np.arange(probabilities.shape[1])
    counts = sklearn_metrics.confusion_matrix(labels, probabilities.argmax(axis=1), labels=classes)
    rows = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, rows, out=np.full(counts.shape, np.nan), where=rows > 0)


def class_f1(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(classes,) F1 of each class against the rest; NaN for a class that neither happens nor is predicted."""
    classes = np.arange(probabilities.shape[1])
    return sklearn_metrics.f1_score(
        labels, probabilities.argmax(axis=1), labels=classes, average=None, zero_division=np.nan
    )
