"""Masked task losses: a label that was not observed neither counts nor moves a gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from mtl_pipeline.spec import Task

FOCAL_GAMMA = 2.0
HUBER_DELTA = 1.0
"""In standard deviations of the label: errors beyond it count linearly."""

Loss = Callable[[Tensor, Tensor, Task], Tensor]
"""(outputs [rows, task.outputs], targets [rows]) → loss of each row [rows]."""


def task_losses(outputs: Tensor, labels: Tensor, tasks: Sequence[Task]) -> Tensor:
    """Mean loss of each task over its observed rows.

    outputs: float32 [rows, outputs of all tasks], as the network gives them.
    labels: float32 [rows, tasks], NaN where not observed; regression labels standardised, counts as they
    are, classes by their number.
    Returns float32 [tasks], 0 where no label was observed.
    """
    sums, counts = loss_sums(outputs, labels, tasks)
    return sums / counts.clamp(min=1)


def loss_sums(outputs: Tensor, labels: Tensor, tasks: Sequence[Task]) -> tuple[Tensor, Tensor]:
    """Summed loss and number of observed labels of each task: float32 [tasks], float32 [tasks]."""
    observed = ~labels.isnan()
    targets = labels.nan_to_num(0.0)
    parts = outputs.split([task.outputs for task in tasks], dim=1)
    sums = [
        torch.where(observed[:, column], row_losses(part, targets[:, column], task), 0.0).sum()
        for column, (part, task) in enumerate(zip(parts, tasks, strict=True))
    ]
    return torch.stack(sums), observed.sum(0).float()


def row_losses(outputs: Tensor, targets: Tensor, task: Task) -> Tensor:
    """Loss of each row of one task: float32 [rows, task.outputs], float32 [rows] → float32 [rows]."""
    if task.kind == "multiclass":
        return functional.cross_entropy(outputs, targets.long(), reduction="none")
    return LOSSES[task.loss_name](outputs[:, 0], targets, task)


def cross_entropy(logits: Tensor, targets: Tensor, task: Task) -> Tensor:
    weight = None if task.positive_weight == 1 else logits.new_tensor(task.positive_weight)
    return functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=weight, reduction="none")


def focal(logits: Tensor, targets: Tensor, task: Task) -> Tensor:
    """Cross-entropy times (1 - probability of the truth)^2, which turns attention to the hard rows
    (Lin et al., ICCV 2017, https://arxiv.org/abs/1708.02002)."""
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return losses * (1 - torch.exp(-losses)) ** FOCAL_GAMMA


def squared_error(values: Tensor, targets: Tensor, task: Task) -> Tensor:
    return (values - targets) ** 2


def absolute_error(values: Tensor, targets: Tensor, task: Task) -> Tensor:
    return (values - targets).abs()


def huber(values: Tensor, targets: Tensor, task: Task) -> Tensor:
    return functional.huber_loss(values, targets, delta=HUBER_DELTA, reduction="none")


def poisson(log_rates: Tensor, targets: Tensor, task: Task) -> Tensor:
    """Half the Poisson deviance, rate - y·log(rate) + y·log(y) - y: 0 where the rate equals the count."""
    return log_rates.exp() - targets * log_rates + torch.xlogy(targets, targets) - targets


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "squared_error": squared_error,
    "absolute_error": absolute_error,
    "huber": huber,
    "poisson": poisson,
}
