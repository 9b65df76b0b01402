"""Losses per row, whose means are metrics: what the bootstrap resamples."""

from __future__ import annotations

import numpy as np

SMALLEST_COUNT = float(np.finfo(np.float64).eps)
"""Expected counts are clipped here, as probabilities are: expecting zero where something happened would be infinitely
wrong."""


def log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Log-loss of each row in nats, clipped as scikit-learn clips."""
    smallest = np.finfo(np.float64).eps
    clipped = np.clip(np.where(labels > 0, probabilities, 1 - probabilities), smallest, 1 - smallest)
    return -np.log(clipped)


def poisson_deviances(counts: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Deviance of each row; its mean is scikit-learn's `mean_poisson_deviance`."""
    from scipy.special import xlogy  # here, for kinds of task are declared without scipy

    positive = np.maximum(expected, SMALLEST_COUNT)
    return 2 * (xlogy(counts, counts / positive) - counts + positive)


def class_log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Log-loss of each row in nats. `labels` (rows,) class numbers, `probabilities` (rows, classes), which need not
    add up to exactly 1."""
    of_truth = probabilities[np.arange(len(labels)), labels.astype(np.int64)] / probabilities.sum(axis=1)
    return log_losses(np.ones(len(labels)), of_truth)


def ranked_probability_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Squared differences between predicted and observed cumulative probabilities, mean over the K - 1 thresholds
    (Epstein 1969, https://doi.org/10.1175/1520-0450(1969)008<0985:ASSFPF>2.0.CO;2): a class far from the true one
    costs more than its neighbour. `labels` (rows,) class numbers, `probabilities` (rows, classes)."""
    scaled = probabilities / probabilities.sum(axis=1, keepdims=True)
    expected = scaled.cumsum(axis=1)[:, :-1]
    observed = labels[:, None] <= np.arange(expected.shape[1])
    return ((expected - observed) ** 2).mean(axis=1)
