"""Methods that balance by a factor on each loss, by hand."""

from __future__ import annotations

from math import exp, log, sqrt

import pytest
import torch

from mtl_pipeline.learning.balancing import BALANCERS, Balancer
from mtl_pipeline.learning.balancing.base import observed_shares
from mtl_pipeline.learning.balancing.factors.base import STEPS_BETWEEN
from mtl_pipeline.spec import Task
from mtl_pipeline_tests.learning.balancing.problem import balancer_of, step

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


def test_static_weights_are_the_declared_ones() -> None:
    assert gradients(BALANCERS["static"](TASKS), LOSSES) == [2.0, 0.5]


@pytest.mark.parametrize("name", ["static", "uncertainty", "dwa", "imtl_l", "famo"])
def test_what_moves_the_network_is_what_the_weights_say(name: str) -> None:
    balancer = BALANCERS[name](TASKS)
    assert gradients(balancer, LOSSES) == pytest.approx(balancer.weights().tolist())


@pytest.mark.parametrize("name", ["static", "uncertainty", "dwa", "imtl_l"])
def test_where_labels_count_alike_each_label_moves_as_much_as_any_other(name: str) -> None:
    """Where a method begins. Four rows, all with a click and one with a rating: it counts as one of five labels."""
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


def test_dwa_weights_by_the_pace_of_the_last_two_rounds() -> None:
    balancer = balancer_of("dwa", 1.0, 3.0, temperature=2.0)
    balancer.after_round(torch.tensor([1.0, 2.0]), [])
    assert balancer.weights().tolist() == [1.0, 3.0], "one round has no pace"
    balancer.after_round(torch.tensor([0.5, 1.8]), [])
    slow, fast = exp(0.9 / 2), exp(0.5 / 2)
    factors = [2 * fast / (fast + slow), 2 * slow / (fast + slow)]
    assert balancer.weights().tolist() == pytest.approx([factors[0], 3 * factors[1]])
    assert step(balancer, [0.4, 1.7], [[1.0, 0.0], [0.0, 1.0]]).below == pytest.approx(
        [factors[0], 3 * factors[1]]
    )


def test_imtl_l_makes_every_loss_one() -> None:
    balancer = balancer_of("imtl_l", 2.0, 0.5)
    step(balancer, [0.4, 3.0], [[1.0, 0.0], [0.0, 1.0]])
    log_factors = balancer.get_parameter("log_factors")
    assert log_factors.grad is not None
    # of weight · (exp(s) · loss - s)
    assert log_factors.grad.tolist() == pytest.approx([2.0 * (0.4 - 1), 0.5 * (3.0 - 1)])
    optimizer = torch.optim.Adam(balancer.parameters(), lr=0.05)
    for _ in range(300):
        step(balancer, [0.4, 3.0], [[1.0, 0.0], [0.0, 1.0]])
        optimizer.step()
    assert balancer.weights().tolist() == pytest.approx([2.0 / 0.4, 0.5 / 3.0], rel=0.01)


def test_famo_weights_by_the_logarithm_and_against_what_it_gained() -> None:
    balancer = balancer_of("famo", 1.0, 3.0)
    gradients = [[1.0, 0.0], [0.0, 1.0]]
    # (1/2 / loss) over their sum, times two tasks
    assert step(balancer, [2.0, 0.5], gradients).below == pytest.approx([2 * 0.2, 3 * 2 * 0.8])
    step(balancer, [0.0, 0.5], [[], [0.0, 1.0]])  # the first is absent, and its last loss stays in mind
    step(balancer, [1.0, 0.5], gradients)
    logits = balancer.get_parameter("logits")
    assert logits.grad is not None
    # softmax (1/2, 1/2): its Jacobian times what the logarithms gained, (log 2, 0)
    assert logits.grad.tolist() == pytest.approx([log(2) / 4, -log(2) / 4])
    optimizer = torch.optim.Adam(balancer.parameters(), lr=1e-3)
    optimizer.step()
    lower, higher = step(balancer, [1.0, 1.0], gradients).below
    assert lower < 1 < higher / 3


def test_gradnorm_pulls_lengths_to_their_mean_and_lets_those_behind_be_longer() -> None:
    balancer = balancer_of("gradnorm", 1.0, 5.0, asymmetry=1.5)
    logits = balancer.get_parameter("logits")
    gradients = [[3.0, 0.0], [0.0, 1.0]]
    assert step(balancer, [1.0, 1.0], gradients).below == [3.0, 5.0]
    assert logits.grad is not None
    # lengths 3 and 1 are to be 2: slopes (3, -1) through the softmax (1/2, 1/2)
    assert logits.grad.tolist() == pytest.approx([0.5 * (3 - 1), 0.5 * (-1 - 1)])
    for _ in range(STEPS_BETWEEN):
        step(balancer, [1.0, 0.1], gradients)
    # paces 1 and .1 over their mean .55: targets 2 · 1.82^1.5 = 4.9 and 2 · .18^1.5 = .16, so slopes (-3, 1)
    assert logits.grad is not None
    assert logits.grad.tolist() == pytest.approx([0.5 * (-3 + 1), 0.5 * (1 + 1)])


def test_gradnorm_learns_factors_that_make_lengths_equal() -> None:
    balancer = balancer_of("gradnorm", 1.0, 1.0)
    optimizer = torch.optim.Adam(balancer.parameters(), lr=1e-3)
    for _ in range(600):
        step(balancer, [1.0, 1.0], [[3.0, 0.0], [0.0, 1.0]])
        optimizer.step()
    assert balancer.weights().tolist() == pytest.approx([0.5, 1.5], abs=0.05)


def test_db_mtl_makes_gradients_of_log_losses_as_long_as_the_longest() -> None:
    balancer = balancer_of("db_mtl", 1.0, 3.0)
    # of log losses 3/2 and 1/.5 = 2 long
    assert step(balancer, [2.0, 0.5], [[3.0, 0.0], [0.0, 1.0]]).below == pytest.approx([2.0, 3 * 2.0])
    for _ in range(STEPS_BETWEEN):
        found = step(balancer, [2.0, 0.5], [[6.0, 0.0], [0.0, 1.0]])
    length = sqrt(0.9 * 1.5**2 + 0.1 * 3.0**2)
    assert found.below == pytest.approx([2.0 / length * 3.0, 3 * 2.0]), "squared lengths are averaged"
