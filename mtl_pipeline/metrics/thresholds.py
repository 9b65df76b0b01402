"""Binary predictions at every threshold, ROC-AUC and PR-AUC from them, and the threshold with the best F1.

All of it comes from one call of scikit-learn that counts the rows at every threshold: sorting is the expensive part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from sklearn import metrics as sklearn_metrics

from mtl_pipeline.metrics.losses import log_losses
from mtl_pipeline.metrics.metric import Score

DEFAULT_THRESHOLD = 0.5
WHOLE_CHAIN = ("roc_auc", "pr_auc", "log_loss")
"""Metrics of the probability that a whole chain of binary tasks happens."""


@dataclass(frozen=True)
class ThresholdCounts:
    """Rows called positive at every distinct threshold, highest threshold first."""

    false_positives: np.ndarray
    true_positives: np.ndarray
    thresholds: np.ndarray
    """(thresholds,) float64, descending; a row is called positive when its probability is at least that."""

    @property
    def precision(self) -> np.ndarray:
        return self.true_positives / (self.true_positives + self.false_positives)

    @property
    def recall(self) -> np.ndarray:
        return self.true_positives / self.true_positives[-1]

    @property
    def fall_out(self) -> np.ndarray:
        return self.false_positives / self.false_positives[-1]

    @property
    def roc_auc(self) -> float:
        return float(sklearn_metrics.auc(np.r_[0, self.fall_out], np.r_[0, self.recall]))

    @property
    def average_precision(self) -> float:
        return float(np.sum(np.diff(self.recall, prepend=0) * self.precision))


def threshold_counts(labels: np.ndarray, probabilities: np.ndarray) -> ThresholdCounts:
    """`labels` (rows,) of 0 and 1, at least one row."""
    _, false_positives, _, true_positives, thresholds = sklearn_metrics.confusion_matrix_at_thresholds(
        labels, probabilities
    )
    return ThresholdCounts(false_positives, true_positives, thresholds)


def best_f1_threshold(
    labels: np.ndarray, probabilities: np.ndarray, counts: ThresholdCounts | None = None
) -> Score:
    """The threshold with the highest F1, the lowest of several equally good ones; a row is called positive when its
    probability is at least that. 0.5, with a note, when no label is positive. `counts` saves counting again."""
    if not labels.any():
        return Score(DEFAULT_THRESHOLD, "no positive validation row to choose a threshold on")
    counts = counts or threshold_counts(labels, probabilities)
    called_positive = counts.true_positives + counts.false_positives
    f1 = 2 * counts.true_positives / (called_positive + counts.true_positives[-1])
    return Score(float(counts.thresholds[np.flatnonzero(f1 == f1.max())[-1]]))


def ranking_scores(
    labels: np.ndarray, probabilities: np.ndarray, counts: ThresholdCounts | None = None
) -> dict[str, Score]:
    """ROC-AUC, PR-AUC and log-loss, which need no threshold."""
    # The mean of what the bootstrap resamples: scikit-learn's log_loss to the last digit, thirty times as fast.
    scores = {"log_loss": Score(float(log_losses(labels, probabilities).mean()))}
    if labels.min() == labels.max():
        reason = f"only one class: every observed label is {labels[0]:.0f}"
        return scores | dict.fromkeys(("roc_auc", "pr_auc"), Score(math.nan, reason))
    counts = counts or threshold_counts(labels, probabilities)
    return scores | {"roc_auc": Score(counts.roc_auc), "pr_auc": Score(counts.average_precision)}
