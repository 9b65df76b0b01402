"""Masked task losses: a label that was not observed neither counts nor moves a gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_pipeline.kinds import KINDS
from mtl_pipeline.spec import Task


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
        torch.where(
            observed[:, column], KINDS[task.kind].row_losses(part, targets[:, column], task), 0.0
        ).sum()
        for column, (part, task) in enumerate(zip(parts, tasks, strict=True))
    ]
    return torch.stack(sums), observed.sum(0).float()
