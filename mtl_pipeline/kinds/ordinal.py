"""One of several classes in an order: stars, grades, degrees of liking. Neighbours are alike, distances unknown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mtl_pipeline.kinds.base import SMALLEST_RATE, DeclaredTask
from mtl_pipeline.kinds.multiclass import Multiclass
from mtl_pipeline.metrics.losses import class_log_losses, ranked_probability_losses
from mtl_pipeline.metrics.metric import ACCURACY, LOG_LOSS, Metric, Score, defined_or

if TYPE_CHECKING:
    from torch import Tensor


class Ordinal(Multiclass):
    """The network predicts the log odds of more than the first class, of more than the second, and so on: a cumulative
    link model (McCullagh 1980, https://doi.org/10.1111/j.2517-6161.1980.tb01109.x) whose thresholds may differ from row
    to row. The first logit is free; the softplus of each other one is the step down to the next log odds, so that these
    fall strictly and every class keeps a probability."""

    name = "ordinal"
    says = "one of `classes`, which are listed from the least to the most"
    metrics = (
        Metric(
            "ranked_probability_score",
            "ranked probability score",
            False,
            "mean squared gap between predicted and observed cumulative probabilities, over the thresholds between "
            "classes: a class far from the true one costs more than its neighbour; 0 is perfect",
        ),
        LOG_LOSS,
        Metric(
            "class_distance",
            "class distance",
            False,
            "mean number of classes between the predicted median and the true one; 0 is perfect",
        ),
        Metric(
            "weighted_kappa",
            "weighted kappa",
            True,
            "agreement of the predicted median with the true class, beyond chance, by quadratic weights; 0 is "
            "guessing, 1 is perfect",
        ),
        ACCURACY,
    )
    summarised = ("ranked_probability_score", "class_distance", "weighted_kappa", "accuracy")
    compared = ("ranked_probability_score", "log_loss")
    error_label = "ranked probability score"
    ceiling_measure = "ranked_probability_score"
    learned = "ranked_probability_score"
    telling = "weighted_kappa"
    is_ordered = True

    def logits(self, classes: int) -> int:
        return classes - 1

    def row_losses(self, logits: Tensor, labels: Tensor, task: DeclaredTask) -> Tensor:
        """Negative log probability of the true class, by σ(a) - σ(b) = σ(a) · σ(-b) · (1 - exp(b - a)); where the step
        a - b is softplus(x), the last factor is σ(x). No difference is taken that could vanish."""
        from torch.nn import functional

        above = functional.logsigmoid(log_odds := falling(logits))  # log P(more than class k)
        below = functional.logsigmoid(-log_odds)
        gaps = functional.logsigmoid(logits[:, 1:])
        place = labels.long()[:, None]
        log_probability = (
            functional.pad(above, (1, 0)).gather(1, place)
            + functional.pad(below, (0, 1)).gather(1, place)
            + functional.pad(gaps, (1, 1)).gather(1, place)
        )
        return -log_probability[:, 0]

    def predictions(self, logits: Tensor) -> Tensor:
        from torch.nn import functional

        log_odds, gaps = falling(logits), logits[:, 1:].sigmoid()
        above = functional.pad(log_odds.sigmoid(), (1, 0), value=1.0)
        below = functional.pad((-log_odds).sigmoid(), (0, 1), value=1.0)
        return above * below * functional.pad(gaps, (1, 1), value=1.0)

    def constant_logits(self, labels: Tensor, task: DeclaredTask) -> Tensor:
        import torch

        shares = labels.long().bincount(minlength=len(task.classes)).clamp(min=0.5) / len(labels)
        more = 1 - (shares / shares.sum()).cumsum(0)[:-1]
        log_odds = more.logit(eps=SMALLEST_RATE)
        steps = (log_odds[:-1] - log_odds[1:]).clamp(min=SMALLEST_RATE)
        return torch.cat([log_odds[:1], steps.expm1().log()])  # the inverse of softplus

    def is_number(self, classes: Sequence[str]) -> bool:
        return numbers(classes) is not None

    def shown(self, predictions: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """The expected class: its number where the classes are numbers, else its place from 0."""
        values = numbers(classes)
        return predictions @ (np.arange(len(classes)) if values is None else values)

    def compared_losses(self, labels: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
        scores = ranked_probability_losses(labels, predicted)
        return {"ranked_probability_score": scores, "log_loss": class_log_losses(labels, predicted)}

    def further_scores(self, labels: np.ndarray, predicted: np.ndarray) -> dict[str, Score]:
        from sklearn.metrics import cohen_kappa_score

        median = (predicted.cumsum(axis=1) < 0.5 * predicted.sum(axis=1, keepdims=True)).sum(axis=1)
        classes = np.arange(predicted.shape[1])
        kappa = np.nan
        if labels.min() < labels.max():
            kappa = cohen_kappa_score(labels, median, labels=classes, weights="quadratic")
        only_one = f"only one class: every observed label is class {labels[0]:.0f}"
        return {
            "class_distance": Score(float(np.abs(median - labels).mean())),
            "weighted_kappa": defined_or(kappa, only_one),
            "accuracy": Score(float((predicted.argmax(axis=1) == labels).mean())),
        }


def falling(logits: Tensor) -> Tensor:
    """Log odds of more than each class but the last, float32 [rows, classes - 1]."""
    import torch
    from torch.nn import functional

    steps = torch.cat([logits[:, :1], -functional.softplus(logits[:, 1:])], 1)
    return steps.cumsum(1)


def numbers(classes: Sequence[str]) -> np.ndarray | None:
    """float64 [classes], where every class is a number."""
    try:
        return np.array([float(name) for name in classes])
    except ValueError:
        return None
