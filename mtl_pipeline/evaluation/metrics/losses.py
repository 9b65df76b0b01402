"""Losses of each row, whose means are metrics: what the bootstrap resamples."""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

SMALLEST_COUNT = float(np.finfo(np.float64).eps)
"""Expected counts are clipped here, as probabilities are: an expected zero where something happened would
be infinitely wrong."""


def log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Log-loss of each row in nats, clipped as scikit-learn clips."""
    smallest = np.finfo(np.float64).eps
    clipped = np.clip(np.where(labels > 0, probabilities, 1 - probabilities), smallest, 1 - smallest)
    return -np.log(clipped)


def poisson_deviances(counts: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Deviance of each row; its mean is scikit-learn's `mean_poisson_deviance`."""
    positive = np.maximum(expected, SMALLEST_COUNT)
    return 2 * (xlogy(counts, counts / positive) - counts + positive)


def compared_losses(kind: str, labels: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """Compared metric → (rows,) what its mean is taken of; the squared errors for RMSE."""
    match kind:
        case "binary":
            return {"log_loss": log_losses(labels, predicted)}
        case "regression":
            return {"rmse": (predicted - labels) ** 2, "mae": np.abs(predicted - labels)}
        case "count":
            return {
                "poisson_deviance": poisson_deviances(labels, predicted),
                "mae": np.abs(predicted - labels),
            }
        case _:
            came = predicted[np.arange(len(labels)), labels.astype(np.int64)] / predicted.sum(axis=1)
            return {
                "log_loss": log_losses(np.ones(len(labels)), came),
                "accuracy": (predicted.argmax(axis=1) == labels).astype(np.float64),
            }
