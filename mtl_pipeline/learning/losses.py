"""Masked task losses: a label that was not observed neither counts nor moves a gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from mtl_pipeline.spec import Task


def task_losses(outputs: Tensor, labels: Tensor, tasks: Sequence[Task]) -> Tensor:
    """Mean loss of each task over its observed rows.

    outputs: float32 [rows, tasks], logits (binary) or standardised values (regression).
    labels: float32 [rows, tasks], NaN where not observed; regression labels standardised.
    Returns float32 [tasks]: binary cross-entropy or squared error, 0 where no label was observed.
    """
    sums, counts = loss_sums(outputs, labels, tasks)
    return sums / counts.clamp(min=1)


def loss_sums(outputs: Tensor, labels: Tensor, tasks: Sequence[Task]) -> tuple[Tensor, Tensor]:
    """Summed loss and number of observed labels of each task: float32 [tasks], float32 [tasks]."""
    observed = ~labels.isnan()
    targets = labels.nan_to_num(0.0)
    losses = []
    for column, task in enumerate(tasks):
        if task.kind == "binary":
            loss = functional.binary_cross_entropy_with_logits(
                outputs[:, column], targets[:, column], reduction="none"
            )
        else:
            loss = functional.mse_loss(outputs[:, column], targets[:, column], reduction="none")
        losses.append(torch.where(observed[:, column], loss, 0.0).sum())
    return torch.stack(losses), observed.sum(0).float()
