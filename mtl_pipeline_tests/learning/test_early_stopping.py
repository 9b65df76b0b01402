"""A task that stopped improving is frozen at its best while others learn on; what is kept are averaged weights."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
from torch import nn

from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.learning.network import MultiTaskNetwork
from mtl_pipeline.learning.training.callbacks.base import Callback, Run
from mtl_pipeline.learning.training.callbacks.task_early_stopping import TaskEarlyStopping
from mtl_pipeline.spec import Task

TASKS = [Task(name="click", kind="binary"), Task(name="rating", kind="regression")]


class TwoOutputs(nn.Module):
    """One weight per task, on the only numeric feature."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 2, bias=False)

    def forward(self, rows: Rows) -> torch.Tensor:
        return self.layer(rows.numeric)


def rows(values: list[float]) -> Rows:
    nothing = torch.empty(len(values), 0, dtype=torch.int32)
    numeric, labels = torch.tensor(values)[:, None], torch.zeros(len(values), 2)
    return Rows(nothing, nothing, numeric, nothing, labels, sequence=nothing)


def started(callback: Callback, train: Rows) -> tuple[TwoOutputs, Run]:
    network = TwoOutputs()
    run = Run(cast(MultiTaskNetwork, network), TASKS, train, rows_per_round=len(train), seed=0)
    callback.start(run)
    return network, run


def test_the_best_round_of_each_task_and_of_their_mean_is_known_and_a_stalled_task_frozen() -> None:
    lines: list[str] = []
    early_stopping = TaskEarlyStopping(patience=2, log=lines.append)
    network, run = started(early_stopping, rows([1.0]))
    for value, relative in enumerate(([0.9, 0.8], [0.5, 0.9], [0.6, 0.7], [0.7, 0.7])):
        assert run.frozen == set()
        nn.init.constant_(network.layer.weight, value)
        early_stopping.after_validation(np.array(relative))
        early_stopping.after_round({})
    assert early_stopping.best_round.tolist() == [1, 2, 2]  # click, rating, their mean
    assert early_stopping.best_weights[0]["layer.weight"].tolist() == [[1.0], [1.0]]
    assert run.frozen == {0}
    assert lines == ["click is frozen at its best round"]


def test_a_frozen_task_learns_to_give_what_it_gave_at_its_best() -> None:
    train = rows([1.0, 2.0])
    early_stopping = TaskEarlyStopping(patience=1)
    network, _ = started(early_stopping, train)
    nn.init.constant_(network.layer.weight, 5.0)
    best = {"layer.weight": torch.tensor([[0.0], [3.0]])}
    early_stopping.targets[1] = early_stopping.outputs_with(best, column=1)
    assert network.layer.weight.tolist() == [[5.0], [5.0]]

    outputs = network(train)
    label_losses = torch.stack([outputs[:, 0].sum(), outputs[:, 1].sum()])
    losses = early_stopping.before_backward(label_losses, outputs, torch.tensor([0, 1]))
    assert losses.tolist() == label_losses.tolist()
    losses.sum().backward()
    assert network.layer.weight.grad is not None
    # click: from its label loss, 1 + 2; rating: from mean((5x - 3x)^2) alone, 2 · 2 · mean(x^2)
    assert network.layer.weight.grad.flatten().tolist() == pytest.approx([3.0, 10.0])
