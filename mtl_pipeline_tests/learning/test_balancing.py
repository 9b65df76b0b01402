"""How task losses become gradients."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from mtl_pipeline.learning.balancing import BALANCERS, Balancer
from mtl_pipeline.learning.balancing.base import observed_shares
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.training.loop import fit_network
from mtl_pipeline.spec import Task
from mtl_pipeline.spec.learning import Weighting
from mtl_pipeline_tests.conftest import TinyPipeline

TASKS = [
    Task(name="click", kind="binary", weight=2.0),
    Task(name="rating", kind="regression", weight=0.5),
]
LOSSES = torch.tensor([0.4, 3.0])
SHARED = torch.ones(1, 1)


def gradients(balancer: Balancer, losses: torch.Tensor) -> list[float]:
    """By how much each loss moves the network."""
    losses = losses.clone().requires_grad_()
    balancer.backward(losses, SHARED)
    assert losses.grad is not None
    return losses.grad.tolist()


def test_every_method_that_can_be_declared_is_there() -> None:
    assert set(BALANCERS) == set(get_args(Weighting))


def test_static_weights_are_the_declared_ones() -> None:
    assert gradients(BALANCERS["static"](TASKS), LOSSES) == [2.0, 0.5]


@pytest.mark.parametrize("name", BALANCERS)
def test_what_moves_the_network_is_what_the_weights_say(name: str) -> None:
    balancer = BALANCERS[name](TASKS)
    assert gradients(balancer, LOSSES) == pytest.approx(balancer.weights().tolist())


@pytest.mark.parametrize("name", BALANCERS)
def test_where_labels_count_alike_each_label_moves_as_much_as_any_other(name: str) -> None:
    """Four rows, all with a click and one with a rating: the rating counts as one of five labels."""
    labels = torch.tensor([[1.0, torch.nan], [0.0, torch.nan], [0.0, 2.0], [1.0, torch.nan]])
    shares = observed_shares(labels)
    assert shares.tolist() == [1.0, 0.25]
    plain = [Task(name=task.name, kind=task.kind) for task in TASKS]
    by_row = torch.tensor([[0.2, torch.nan], [0.6, torch.nan], [0.3, 3.0], [0.5, torch.nan]]).requires_grad_()
    BALANCERS[name](plain, shares).backward(by_row.nanmean(0), SHARED)
    rating_scale = 0.5 if name == "uncertainty" else 1.0
    assert by_row.grad is not None
    assert by_row.grad[:, 0].tolist() == pytest.approx([0.25] * 4)
    assert by_row.grad[2, 1].item() == pytest.approx(0.25 * rating_scale)


def test_uncertainty_follows_kendall_by_hand() -> None:
    balancer = BALANCERS["uncertainty"](TASKS)
    log_variance = balancer.get_parameter("log_variance")
    log_variance.data = torch.tensor([0.0, 1.0])
    # of weight · (loss / (c · variance) + log variance / 2), by the loss and by the log variance
    assert gradients(balancer, LOSSES) == pytest.approx([2.0, 0.5 / 2 / torch.e])
    assert log_variance.grad is not None
    expected = [2 * (0.5 - 0.4), 0.5 * (0.5 - 3.0 / 2 / torch.e)]
    assert log_variance.grad.tolist() == pytest.approx(expected, rel=1e-5)


def test_uncertainty_learns_the_variance_of_the_squared_error() -> None:
    """At the optimum, exp(log variance) is the mean squared error itself."""
    balancer = BALANCERS["uncertainty"](TASKS)
    optimizer = torch.optim.Adam(balancer.parameters(), lr=0.05)
    for _ in range(500):
        optimizer.zero_grad()
        balancer.backward(LOSSES, SHARED)
        optimizer.step()
    assert balancer.get_parameter("log_variance").exp()[1].item() == pytest.approx(3.0, rel=0.02)
    assert balancer.weights()[1] < balancer.weights()[0]


class SumOfGradients(Balancer):
    """The plain sum of the losses, put together from the gradients of single tasks as gradient methods do it."""

    def backward(self, losses: torch.Tensor, shared: torch.Tensor) -> None:
        gradients = [torch.autograd.grad(loss, shared, retain_graph=True)[0] for loss in losses]
        replaced = shared.register_hook(lambda _: torch.stack(gradients).sum(0))
        losses.sum().backward()
        replaced.remove()


def test_a_method_that_balances_gradients_fits_without_another_loop(
    prepared: TinyPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"weighting": "static", "loss_normalisation": "tasks", "epochs": 1}
    spec = prepared.spec.model_copy(update={"training": prepared.spec.training.model_copy(update=settings)})
    dataset = Dataset(prepared.paths, spec)

    def losses() -> list[float]:
        fit = fit_network(dataset, spec, spec.tasks, lambda line: None)
        return [entry["score"] for entry in fit.log]

    plain = losses()
    monkeypatch.setitem(BALANCERS, "static", SumOfGradients)
    assert losses() == pytest.approx(plain, rel=1e-4)
