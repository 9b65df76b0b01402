"""Losses look at observed labels only."""

import pytest
import torch

from mtl_pipeline.learning.losses import task_losses
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
