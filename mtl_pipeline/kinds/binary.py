"""Something that happens or does not: a click, a purchase, a like."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mtl_pipeline.kinds.base import SMALLEST_RATE, DeclaredTask, Fault, LabelRule, Measured, TaskKind
from mtl_pipeline.metrics.losses import log_losses
from mtl_pipeline.metrics.metric import ACCURACY, LOG_LOSS, Metric, Score, defined_or

if TYPE_CHECKING:
    import polars as pl
    from torch import Tensor

FOCAL_GAMMA = 2.0
CALIBRATION_BINS = 15


class Binary(TaskKind):
    """The network predicts the log odds."""

    name = "binary"
    says = "0 or 1"
    losses = ("cross_entropy", "focal")
    calibrations = ("platt", "isotonic")
    metrics = (
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
    )
    summarised = ("roc_auc", "gauc", "pr_auc", "log_loss", "f1")
    compared = ("roc_auc", "log_loss")
    error_label = "log-loss (nats)"
    drawn_as = "event"
    calibration_measures = ("ece", "log_loss")
    ceiling_measure = "log_loss"
    learned = "log_loss"
    tree_objective = "binary"
    telling = "roc_auc"
    margin = 0.002
    margin_is_relative = False
    is_event = True
    counts_events = True
    one_label_says_nothing = True
    label_rule = LabelRule("0, 1", "other values have no cross-entropy", "{label}::DOUBLE IN (0, 1)")

    def row_losses(self, logits: Tensor, labels: Tensor, task: DeclaredTask) -> Tensor:
        """Cross-entropy; `focal`: times (1 - probability of the truth)^2, which draws attention to the hard rows
        (Lin et al., ICCV 2017, https://arxiv.org/abs/1708.02002)."""
        from torch.nn import functional

        weight = None if task.positive_weight == 1 else logits.new_tensor(task.positive_weight)
        losses = functional.binary_cross_entropy_with_logits(
            logits[:, 0], labels, pos_weight=weight, reduction="none"
        )
        return losses * (1 - (-losses).exp()) ** FOCAL_GAMMA if task.loss_name == "focal" else losses

    def predictions(self, logits: Tensor) -> Tensor:
        return logits[:, 0].sigmoid()

    def constant_logits(self, labels: Tensor, task: DeclaredTask) -> Tensor:
        return labels.mean().logit(eps=SMALLEST_RATE)[None]

    def label_fault(self, label: pl.Expr, classes: int) -> Fault:
        return Fault((label != 0) & (label != 1), "labels are neither 0, 1 nor null")

    def prediction_faults(self, values: Sequence[pl.Expr]) -> Iterator[Fault]:
        yield Fault(
            ~values[0].is_between(0, 1),
            "predictions are outside [0, 1]",
            "A binary task needs probabilities; apply the sigmoid to the model's output",
        )

    def compared_losses(self, labels: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
        """Without ROC-AUC, which is not a mean over rows."""
        return {"log_loss": log_losses(labels, predicted)}

    def measure(
        self,
        labels: np.ndarray,
        predicted: np.ndarray,
        *,
        threshold: Score | None = None,
        users: np.ndarray | None = None,
    ) -> Measured:
        """Without a threshold it is the one with the best F1 on these rows; without users there is no GAUC."""
        from scipy.special import xlogy
        from sklearn import metrics

        from mtl_pipeline.metrics.curves import calibration_error
        from mtl_pipeline.metrics.ranking import grouped_roc_auc, score_levels
        from mtl_pipeline.metrics.thresholds import best_f1_threshold, ranking_scores, threshold_counts

        counts = threshold_counts(labels, predicted) if len(labels) else None
        threshold = threshold or best_f1_threshold(labels, predicted, counts)
        if counts is None:
            undefined = super().measure(labels, predicted).scores
            if users is None:
                del undefined["gauc"]
            return Measured(undefined, threshold)
        called_positive = predicted >= threshold.value
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            labels, called_positive, average="binary", zero_division=math.nan
        )
        scores = ranking_scores(labels, predicted, counts) | {
            "brier": Score(float(metrics.brier_score_loss(labels, predicted, labels=[0, 1]))),
            "ece": Score(calibration_error(labels, predicted, CALIBRATION_BINS)),
            "f1": defined_or(f1, "no positive row and none predicted"),
            "precision": defined_or(precision, "no row predicted positive"),
            "recall": defined_or(recall, "no positive row"),
            "accuracy": Score(float(metrics.accuracy_score(labels, called_positive))),
        }
        rate = float(labels.mean())
        entropy = float(-xlogy(rate, rate) - xlogy(1 - rate, 1 - rate))
        normalised = scores["log_loss"].value / entropy if entropy else math.nan
        scores["normalised_entropy"] = defined_or(normalised, scores["roc_auc"].note)
        if users is not None:
            gauc = grouped_roc_auc(labels, score_levels(predicted).level, users)
            scores["gauc"] = defined_or(gauc, "no user has both a positive and a negative row")
        return Measured(scores, threshold)

    def values(self, labels: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> dict[str, float]:
        from mtl_pipeline.metrics.curves import calibration_error
        from mtl_pipeline.metrics.thresholds import ranking_scores

        values = self.measured_means(labels, predicted)
        if "ece" in names:
            values["ece"] = calibration_error(labels, predicted, CALIBRATION_BINS)
        if "roc_auc" in names:
            values["roc_auc"] = ranking_scores(labels, predicted)["roc_auc"].value
        return {name: values[name] for name in names}

    def linear_model(self) -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(max_iter=500)

    def fitted_predictions(self, estimator: Any, inputs: np.ndarray, classes: int) -> np.ndarray:
        return estimator.predict_proba(inputs)[:, 1].astype(np.float64)
