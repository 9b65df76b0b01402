"""What holds for every balancer: absent, lone and frozen tasks, interruptions, a real training."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import get_args

import pytest
import torch

from mtl_pipeline.learning.balancing import BALANCERS, Balancer, make_balancer
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.training.callbacks.base import Callback
from mtl_pipeline.learning.training.continuing import checkpoint
from mtl_pipeline.learning.training.continuing.checkpoint import Checkpoints
from mtl_pipeline.learning.training.loop import fit_network
from mtl_pipeline.spec import Task, WeightingSettings
from mtl_pipeline.spec.weighting import METHODS, Weighting
from mtl_pipeline_tests.conftest import TinyPipeline
from mtl_pipeline_tests.learning.balancing.problem import (
    FACTOR_METHODS,
    GRADIENT_METHODS,
    balancer_of,
    step,
)
from mtl_pipeline_tests.learning.test_checkpoint import Killed, KilledIn, declared, same

WITHOUT_NOISE = [name for name in BALANCERS if name != "uncertainty"]
"""Uncertainty weighting learns the scale of any loss, also of one that is alone or frozen."""


def finite(balancer: Balancer) -> bool:
    state = [value for value in balancer.state_dict().values() if isinstance(value, torch.Tensor)]
    gradients = [parameter.grad for parameter in balancer.parameters() if parameter.grad is not None]
    return all(bool(value.isfinite().all()) for value in [*state, *gradients, balancer.weights()])


def test_every_method_that_can_be_declared_is_there_and_explained() -> None:
    assert (
        list(BALANCERS) == list(get_args(Weighting)) == list(METHODS) == [*FACTOR_METHODS, *GRADIENT_METHODS]
    )


@pytest.mark.parametrize("name", BALANCERS)
def test_an_absent_task_changes_nothing_for_the_others(name: str) -> None:
    """Over several batches, so that what is remembered of the absent task counts too."""
    three, two = balancer_of(name, 1.0, 2.0, 3.0), balancer_of(name, 1.0, 2.0)
    for batch in range(10):
        losses, gradients = [2.0 - batch / 10, 0.5], [[1.0, 0.0], [-1.0, 1.0 + batch]]
        found = step(three, [*losses, 0.0], [*gradients, []])
        without = step(two, losses, gradients)
        assert found.below == pytest.approx(without.below, rel=1e-5)
        assert found.towers == pytest.approx([*without.towers, 0.0], rel=1e-5)
        assert finite(three)


@pytest.mark.parametrize("name", BALANCERS)
def test_a_batch_with_nothing_to_learn_is_survived(name: str) -> None:
    balancer = balancer_of(name, 1.0, 1.0)
    assert step(balancer, [0.0, 0.0], [[], []]).below == [0.0, 0.0]
    balancer.after_round(torch.zeros(2), [])
    step(balancer, [0.0, 1.0], [[], [1.0, 0.0]])
    assert finite(balancer)


@pytest.mark.parametrize("name", WITHOUT_NOISE)
def test_a_task_alone_learns_by_its_plain_loss(name: str) -> None:
    settings = WeightingSettings.model_validate({"weighting": name})
    balancer = make_balancer([Task(name="click", kind="binary", weight=2.0)], None, settings)
    for loss in (3.0, 0.2):
        assert step(balancer, [loss], [[1.0, -4.0]]) == ([2.0, -8.0], [2.0])


@pytest.mark.parametrize("name", WITHOUT_NOISE)
def test_a_frozen_task_keeps_its_plain_gradient(name: str) -> None:
    """It is that of the distance to what the task gave at its best, even where the batch has no label, and the value
    is 0. The others are balanced among themselves."""
    balancer, others = balancer_of(name, 1.0, 1.0, 2.0), balancer_of(name, 1.0, 1.0)
    balancer.after_round(torch.tensor([1.0, 1.0, 1.0]), [2])
    others.after_round(torch.tensor([1.0, 1.0]), [])
    for value in (0.0, 0.8, 0.0):
        found = step(balancer, [2.0, 0.5, value], [[1.0, 0.0], [-1.0, 1.0], [0.01, 0.0]])
        without = step(others, [2.0, 0.5], [[1.0, 0.0], [-1.0, 1.0]])
        assert found.below == pytest.approx([without.below[0] + 2.0 * 0.01, without.below[1]], rel=1e-5)
        assert balancer.weights()[2] == 2.0
        assert finite(balancer)
    balancer.after_round(torch.tensor([0.5, 1.0, 1.0]), [0, 1, 2])
    assert step(balancer, [1.0, 1.0, 1.0], [[1.0, 0.0], [-1.0, 1.0], [0.0, 3.0]]).below == [0.0, 7.0]
    assert finite(balancer)


@pytest.mark.parametrize("name", BALANCERS)
def test_all_that_a_method_remembers_is_in_its_state(name: str) -> None:
    """Also which tasks are frozen, and when gradients were looked at last."""
    undisturbed, resumed = balancer_of(name, 1.0, 2.0, 3.0), balancer_of(name, 1.0, 2.0, 3.0)
    gradients = [[1.0, 0.0], [-1.0, 1.0], [0.5, -2.0]]
    for batch in range(20):
        torch.manual_seed(batch)
        found = step(undisturbed, [2.0 - batch / 20, 0.5, 1.0], gradients)
        if batch == 12:
            undisturbed.after_round(torch.tensor([1.0, 0.5, 1.0]), [2])
            resumed.load_state_dict(undisturbed.state_dict())
        elif batch > 12:
            torch.manual_seed(batch)
            assert step(resumed, [2.0 - batch / 20, 0.5, 1.0], gradients) == found
            assert resumed.weights().tolist() == undisturbed.weights().tolist()


@pytest.mark.parametrize("name", BALANCERS)
def test_an_interrupted_training_ends_as_one_that_was_not_with_finite_losses(
    name: str, prepared: TinyPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(checkpoint, "LARGEST_SHARE", float("inf"))
    spec = declared(prepared, weighting=name, epochs=1, learning_rate=0.01)
    dataset = Dataset(prepared.paths, spec)
    undisturbed = fit_network(dataset, spec, spec.tasks, lambda line: None)
    assert all(isfinite(value) for entry in undisturbed.log for value in entry.values())
    assert undisturbed.best["score"] < 1, "better than a constant answer"
    with pytest.raises(Killed):
        fit_network(dataset, spec, spec.tasks, lambda line: None, [KilledIn(2)], Checkpoints(tmp_path))
    lines: list[str] = []
    resumed = fit_network(dataset, spec, spec.tasks, lines.append, [Callback()], Checkpoints(tmp_path))
    assert "going on where an earlier training was interrupted" in lines
    assert same(resumed, undisturbed)
