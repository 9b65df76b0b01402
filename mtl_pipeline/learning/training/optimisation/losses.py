"""Masked task losses, and the constant answers that they are measured against.

A label that was not observed neither counts nor moves a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mtl_pipeline.kinds import KINDS
from mtl_pipeline.learning.data.streaming import TrainingRows
from mtl_pipeline.learning.network import MultiTaskNetwork
from mtl_pipeline.learning.ranker.ranker import LabelScale
from mtl_pipeline.spec import Task


def task_losses(outputs: Tensor, labels: Tensor, tasks: Sequence[Task]) -> Tensor:
    """Mean loss of each task over its observed rows: float32 [tasks], 0 where no label was observed.

    outputs: float32 [rows, outputs of all tasks], as the network gives them.
    labels: float32 [rows, tasks], NaN where not observed; those of regressions standardised, classes by their number.
    """
    sums, counts = loss_sums(outputs, labels, tasks)
    return sums / counts.clamp(min=1)


def training_losses(
    network: MultiTaskNetwork, outputs: Tensor, labels: Tensor, tasks: Sequence[Task]
) -> Tensor:
    """As `task_losses`, of what the network's architecture trains on: `labels` are its training labels."""
    return task_losses(network.architecture.training_outputs(outputs, tasks), labels, tasks)


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


def label_scale(labels: Tensor, tasks: Sequence[Task]) -> LabelScale:
    """Mean and standard deviation of the observed training labels of regression tasks."""
    mean, standard_deviation = [0.0] * len(tasks), [1.0] * len(tasks)
    for column, task in enumerate(tasks):
        if KINDS[task.kind].is_standardised:
            observed = labels[:, column][~labels[:, column].isnan()].double()
            mean[column] = float(observed.mean())
            standard_deviation[column] = float(observed.std(correction=0)) or 1.0
    return LabelScale(mean, standard_deviation)


def labelled_rows(rows: TrainingRows, columns: list[int], scale: LabelScale) -> TrainingRows:
    """The rows on which at least one of the tasks is observed, with the labels of these tasks only, standardised."""
    labels = rows.labels[:, columns]
    return rows.labelled(labels.sub_(torch.tensor(scale.mean)).div_(torch.tensor(scale.standard_deviation)))


def start_at_base_rates(network: MultiTaskNetwork, labels: Tensor, tasks: Sequence[Task]) -> None:
    """Start each tower at its base rate, so that training need not find it first."""
    for column, (tower, task) in enumerate(zip(network.towers, tasks, strict=True)):
        tower.get_parameter("1.bias").data.copy_(constant_outputs(labels[:, column], task))


def constant_losses(train: Tensor, validation: Tensor, tasks: Sequence[Task]) -> np.ndarray:
    """Validation loss of each task for the best constant answer of the training split: float [tasks], never 0."""
    answers = torch.cat([constant_outputs(train[:, column], task) for column, task in enumerate(tasks)])
    losses = task_losses(answers.expand(len(validation), -1), validation, tasks).cpu().numpy()
    return np.where(losses > 0, losses, 1.0)


def constant_outputs(labels: Tensor, task: Task) -> Tensor:
    """The outputs of a network that answers every row with the base rate: float32 [outputs]."""
    return KINDS[task.kind].constant_logits(labels[~labels.isnan()], task)
