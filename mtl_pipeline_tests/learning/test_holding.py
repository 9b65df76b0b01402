"""A task that stopped improving is held at its best while others learn on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mtl_pipeline.learning.balancing.weighting import WEIGHTINGS
from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.learning.training.averaging import STEPS_BETWEEN, AveragedWeights
from mtl_pipeline.learning.training.holding import MEAN, HeldTasks, Progress
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
    return Rows(nothing, nothing, torch.tensor(values)[:, None], nothing, torch.zeros(len(values), 2))


def test_progress_knows_the_best_round_of_each_task_and_of_their_mean() -> None:
    network, progress = TwoOutputs(), Progress(tasks=2)
    for value, relative in enumerate(([0.9, 0.8], [0.5, 0.9], [0.6, 0.7], [0.7, 0.7])):
        nn.init.constant_(network.layer.weight, value)
        progress.record(np.array(relative), network)
    assert progress.best_round == {MEAN: 2, 0: 1, 1: 2}
    assert progress.best_weights[0]["layer.weight"].tolist() == [[1.0], [1.0]]
    assert progress.stalled(patience=2) == [0]
    assert progress.stalled(patience=3) == []


def test_a_held_task_learns_to_give_what_it_gave_at_its_best() -> None:
    network = TwoOutputs()
    train = rows([1.0, 2.0])
    held = HeldTasks(TASKS, train)
    nn.init.constant_(network.layer.weight, 5.0)
    held.hold(1, network, {"layer.weight": torch.tensor([[0.0], [3.0]])})
    assert held.holds(1)
    assert not held.holds(0)
    assert not held.all_held
    assert network.layer.weight.tolist() == [[5.0], [5.0]]

    weighting = WEIGHTINGS["static"](TASKS)
    outputs = network(train)
    label_losses = torch.stack([outputs[:, 0].sum(), outputs[:, 1].sum()])
    held.total(outputs, torch.tensor([0, 1]), label_losses, weighting).backward()
    assert network.layer.weight.grad is not None
    # click: from its label loss, 1 + 2; rating: from mean((5x - 3x)^2) alone, 2 · 2 · mean(x^2)
    assert network.layer.weight.grad.flatten().tolist() == pytest.approx([3.0, 10.0])


def test_averaged_weights_lag_behind_and_can_be_swapped_in() -> None:
    network = TwoOutputs()
    nn.init.constant_(network.layer.weight, 0.0)
    average = AveragedWeights(network)
    nn.init.constant_(network.layer.weight, 1.0)
    for _ in range(STEPS_BETWEEN):
        average.after_step()
    with average.in_place():
        assert network.layer.weight[0].item() == pytest.approx(1 - 1 / 11)
    assert network.layer.weight[0].item() == 1.0
