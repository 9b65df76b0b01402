"""Methods that combine the gradients of tasks, by hand: (1, 0) and (-1, 1) point against each other."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
import torch
from torch import Tensor

from mtl_pipeline.learning.balancing import BALANCERS
from mtl_pipeline.learning.balancing.gradients.base import GradientBalancer
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.training.loop import fit_network
from mtl_pipeline_tests.conftest import TinyPipeline
from mtl_pipeline_tests.learning.balancing.problem import GRADIENT_METHODS, balancer_of, step

CONFLICT = [[1.0, 0.0], [-1.0, 1.0]]
LOSSES = [0.7, 0.3]
LEAST_COMPONENT = (sqrt(5) - 1) / 2
AGREED = sqrt(1.5 / (2 - sqrt(2)))

BY_HAND = {
    # |λ(1, 0) + (1-λ)(-1, 1)|² = (2λ-1)² + (1-λ)² is least at λ = 3/5; weights with a mean of 1 are twice that
    "mgda": [2 * 0.2, 2 * 0.4],
    # (1, 0) + (-1, 1)/2 is at right angles to the second, (-1, 1) + (1, 0) to the first
    "pcgrad": [0.5 + 0.0, 0.5 + 1.0],
    # mean (0, .5), radius .25: the least gain, min(x, y-x), is largest where both are equal, on the ball: (.25, .5)
    "cagrad": [2 * 0.25 / 1.5, 2 * 0.5 / 1.5],
    # a(a-b) = 1 and b(2b-a) = 1: a = √2 b, b² = 1/(2-√2); times the root of the mean squared length, 3/2
    "nash_mtl": [AGREED * (sqrt(2) - 1), AGREED],
    # the nearest rotation of rows (1, 0), (-1, 1) is (2, 1)/√5, (-1, 2)/√5; JJᵀ has eigenvalues (3 ± √5)/2
    "aligned_mtl": [LEAST_COMPONENT / sqrt(5), LEAST_COMPONENT * 3 / sqrt(5)],
    # of two gradients, the projections are those of pcgrad
    "upgrad": [0.5, 1.5],
}


@pytest.mark.parametrize("name", GRADIENT_METHODS)
def test_gradients_in_conflict_by_hand(name: str) -> None:
    balancer = balancer_of(name, 1.0, 1.0)
    found = step(balancer, LOSSES, CONFLICT)
    assert found.below == pytest.approx(BY_HAND[name], rel=1e-3)
    assert found.towers == [1.0, 1.0], "a task's own layers learn by its own gradient"


def test_cagrad_stays_in_its_ball_where_both_gain_as_much() -> None:
    """(1.2, 1) and (-1, 1) gain as much on (0, y); mean (.1, 1), radius √(.25 · 1.01): so y - 1 = √(.2525 - .01)."""
    found = step(balancer_of("cagrad", 1.0, 1.0, conflict_aversion=0.5), LOSSES, [[1.2, 1.0], [-1.0, 1.0]])
    assert found.below == pytest.approx([0.0, 2 * (1 + sqrt(0.2425)) / 1.5], abs=1e-3)


@pytest.mark.parametrize("name", GRADIENT_METHODS)
def test_gradients_without_conflict_and_as_long_are_added(name: str) -> None:
    assert step(balancer_of(name, 1.0, 1.0), LOSSES, [[0.0, 3.0], [3.0, 0.0]]).below == pytest.approx(
        [3.0, 3.0], rel=1e-3
    )


@pytest.mark.parametrize("name", ["pcgrad", "cagrad", "upgrad"])
def test_gradients_that_agree_are_added_however_long(name: str) -> None:
    assert step(balancer_of(name, 1.0, 1.0), LOSSES, [[1.0, 2.0], [2.0, 4.0]]).below == pytest.approx(
        [3.0, 6.0], rel=1e-3
    )


@pytest.mark.parametrize("name", GRADIENT_METHODS)
def test_of_three_gradients_no_method_but_a_compromise_hurts_one(name: str) -> None:
    gradients = [[1.0, 0.2], [-1.0, 0.6], [0.1, 2.0]]
    gains = np.array(gradients) @ step(balancer_of(name, 1.0, 1.0, 1.0), [1.0] * 3, gradients).below
    if name in ("mgda", "upgrad", "nash_mtl"):  # that is what they are for
        assert (gains > -1e-6).all()
    if name == "mgda":
        assert gains[:2] == pytest.approx([gains.min()] * 2, abs=1e-5), "the shortest mixture is of these two"


def test_the_solution_of_nash_is_where_each_gain_times_its_weight_is_one() -> None:
    jacobian = np.random.default_rng(0).normal(size=(6, 40)) * np.geomspace(0.1, 5, 6)[:, None]
    gramian = jacobian @ jacobian.T
    gramian /= np.diag(gramian).mean()
    weights = np.asarray(balancer_of("nash_mtl", *[1.0] * 6).combine(torch.from_numpy(gramian)))  # type: ignore[operator]
    assert weights * (gramian @ weights) == pytest.approx(np.ones(6), rel=0.05), "but for the ridge"


@pytest.mark.parametrize("name", GRADIENT_METHODS)
def test_declared_weights_multiply_gradients_and_the_log_tells_a_moving_average(name: str) -> None:
    lengthened = step(balancer_of(name, 1.0, 1.0), LOSSES, [[2.0, 0.0], [-0.5, 0.5]])
    balancer = balancer_of(name, 2.0, 0.5)
    found = step(balancer, LOSSES, CONFLICT)
    assert found.below == pytest.approx(lengthened.below, rel=1e-5)
    assert found.towers == [2.0, 0.5]
    for _ in range(300):
        step(balancer, LOSSES, CONFLICT)
    assert (balancer.weights() @ torch.tensor(CONFLICT)).tolist() == pytest.approx(found.below, rel=1e-3)


@pytest.mark.parametrize("name", GRADIENT_METHODS)
def test_a_task_without_a_gradient_has_no_say(name: str) -> None:
    found = step(balancer_of(name, 1.0, 1.0, 1.0), [*LOSSES, 0.5], [*CONFLICT, [0.0, 0.0]])
    assert found.below == pytest.approx(step(balancer_of(name, 1.0, 1.0), LOSSES, CONFLICT).below)


@pytest.mark.parametrize("name", GRADIENT_METHODS)
def test_gradients_that_cancel_or_overflow_are_survived(name: str) -> None:
    opposite = step(balancer_of(name, 1.0, 1.0), LOSSES, [[1.0, 0.0], [-1.0, 0.0]])
    assert opposite.below == pytest.approx([0.0, 0.0], abs=1e-3)
    assert step(balancer_of(name, 1.0, 1.0), LOSSES, [[0.0, 1.0], [1e30, 0.0]]).below == [
        pytest.approx(1e30),
        1.0,
    ]


class Sum(GradientBalancer):
    """The plain sum of the losses, put together from the gradients of single tasks."""

    def combine(self, gramian: Tensor) -> np.ndarray:
        return np.ones(len(gramian))


@pytest.mark.parametrize("architecture", ["mmoe", "ple", "shared_bottom"])
def test_to_put_the_sum_together_from_gradients_trains_as_the_sum_does(
    prepared: TinyPipeline, monkeypatch: pytest.MonkeyPatch, architecture: str
) -> None:
    """So the trunk is what all that tasks share lies below, and the gradient there replaces the plain one."""
    settings = {"weighting": "static", "epochs": 1, "precision": "float32"}
    training = prepared.spec.training.model_copy(update=settings)
    model = prepared.spec.model.model_copy(update={"architecture": architecture})
    spec = prepared.spec.model_copy(update={"training": training, "model": model})
    dataset = Dataset(prepared.paths, spec)

    def losses() -> list[float]:
        return [entry["score"] for entry in fit_network(dataset, spec, spec.tasks, lambda line: None).log]

    plain = losses()
    monkeypatch.setitem(BALANCERS, "static", Sum)
    assert losses() == pytest.approx(plain, rel=1e-4)
