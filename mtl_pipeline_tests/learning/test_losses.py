"""Losses look at observed labels only."""

import math

import pytest
import torch

from mtl_pipeline.learning.training.optimisation.losses import task_losses
from mtl_pipeline.spec import Task

TASKS = [Task(name="click", kind="binary"), Task(name="rating", kind="regression", given="click")]


def test_a_masked_label_never_moves_a_gradient() -> None:
    outputs = torch.tensor([[0.3, 0.1], [-0.2, 0.9]], requires_grad=True)
    labels = torch.tensor([[1.0, float("nan")], [0.0, 2.0]])
    task_losses(outputs, labels, TASKS).sum().backward()
    assert outputs.grad is not None
    assert outputs.grad[0, 1] == 0
    assert (outputs.grad[[0, 1, 1], [0, 0, 1]] != 0).all()


def test_losses_are_means_over_the_observed_rows() -> None:
    outputs = torch.tensor([[0.0, 1.0], [0.0, 5.0]])
    labels = torch.tensor([[1.0, 3.0], [float("nan"), float("nan")]])
    assert task_losses(outputs, labels, TASKS).tolist() == pytest.approx([0.6931472, 4.0])


def test_a_task_without_any_label_has_loss_zero() -> None:
    labels = torch.tensor([[1.0, float("nan")]])
    assert task_losses(torch.zeros(1, 2), labels, TASKS)[1] == 0


def test_every_kind_and_loss_by_hand() -> None:
    def loss(output: list[float], label: float, **task: object) -> float:
        declared = Task.model_validate({"name": "t", **task})
        return float(task_losses(torch.tensor([output]), torch.tensor([[float(label)]]), [declared])[0])

    half = math.log(2)
    assert loss([0.0], 1, kind="binary") == pytest.approx(half)
    assert loss([0.0], 1, kind="binary", positive_weight=3) == pytest.approx(3 * half)
    assert loss([0.0], 0, kind="binary", positive_weight=3) == pytest.approx(half)
    assert loss([0.0], 1, kind="binary", loss="focal") == pytest.approx(half / 4)
    assert loss([1.0], 4, kind="regression") == pytest.approx(9)
    assert loss([1.0], 4, kind="regression", loss="absolute_error") == pytest.approx(3)
    assert loss([1.0], 4, kind="regression", loss="huber") == pytest.approx(2.5)
    assert loss([1.0], 1.5, kind="regression", loss="huber") == pytest.approx(0.125)
    assert loss([math.log(2)], 3, kind="count") == pytest.approx(2 - 3 * math.log(2) + 3 * math.log(3) - 3)
    assert loss([math.log(3)], 3, kind="count") == pytest.approx(0, abs=1e-6)
    classes = ["a", "b", "c"]
    assert loss([0.0, 0.0, 0.0], 2, kind="multiclass", classes=classes) == pytest.approx(math.log(3))


def test_columns_of_outputs_go_to_their_tasks() -> None:
    tasks = [Task(name="mood", kind="multiclass", classes=["a", "b", "c"]), *TASKS]
    outputs = torch.zeros(2, 5, requires_grad=True)
    nan = float("nan")
    task_losses(outputs, torch.tensor([[1.0, nan, nan], [nan, nan, 1.0]]), tasks).sum().backward()
    assert outputs.grad is not None
    assert (outputs.grad != 0).tolist() == [[True, True, True, False, False], [False] * 4 + [True]]
