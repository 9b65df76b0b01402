"""Cosines between the tasks' gradients, and that measuring them leaves training alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from mtl_pipeline.learning.architectures import ARCHITECTURES
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.network import MultiTaskNetwork
from mtl_pipeline.learning.representation.representation import NetworkShape
from mtl_pipeline.learning.training.callbacks.base import Run
from mtl_pipeline.learning.training.callbacks.gradient_conflict import (
    GradientConflict,
    affordable_rows,
    gradient_cosines,
    sampled_rows,
)
from mtl_pipeline.learning.training.loop import fit_network
from mtl_pipeline.spec import Model, Task
from mtl_pipeline_tests.conftest import TinyPipeline
from mtl_pipeline_tests.learning.networks import FIELDS, ITEMS, ROWS, USERS, rows

TASKS = [Task(name=name, kind="binary") for name in ("one", "two", "three")]


def network(architecture: str) -> MultiTaskNetwork:
    """All tasks have the same tower and the same gate, which start at even odds."""
    torch.manual_seed(0)
    model = Model.model_validate(
        {"architecture": architecture, "experts": 3, "hidden": [24, 12], "tower": [8]}
    )
    shape = NetworkShape({"user_id": USERS, "item_id": ITEMS}, FIELDS, numerics=2, outputs=(1, 1, 1))
    found = MultiTaskNetwork(model, shape, {"users": torch.randn(USERS, 8), "items": torch.randn(ITEMS, 8)})
    for tower in found.towers:
        tower.load_state_dict(found.towers[0].state_dict())
        tower.get_parameter("1.weight").data.mul_(0.01)
        tower.get_parameter("1.bias").data.zero_()
    if architecture == "mmoe":
        gates = found.architecture.get_submodule("gates")
        gates.get_parameter("weight").data.zero_()
        gates.get_parameter("bias").data.zero_()
    return found


def measured(
    architecture: str, labels: Sequence[torch.Tensor], frozen: Sequence[int] = ()
) -> dict[str, float]:
    train = replace(rows(), labels=torch.stack(list(labels), 1))
    conflict = GradientConflict()
    conflict.start(
        Run(network(architecture), TASKS, train, rows_per_round=1_000_000, seed=0, frozen=set(frozen))
    )
    entry: dict[str, float] = {}
    conflict.after_round(entry)
    return entry


LABELS = (torch.arange(ROWS) % 3 == 0).float()


@pytest.mark.parametrize("architecture", ["shared_bottom", "mmoe"])
def test_equal_tasks_agree_and_opposed_tasks_conflict(architecture: str) -> None:
    found = measured(architecture, [LABELS, LABELS, 1 - LABELS])
    assert found["gradient_cosine/one~two"] == pytest.approx(1, abs=1e-5)
    assert found["gradient_cosine/one~three"] < -0.99
    assert found["gradient_cosine/two~three"] < -0.99


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_of_what_the_tasks_of_any_architecture_share_every_part_is_moved_by_every_task(
    architecture: str,
) -> None:
    found = measured(architecture, [LABELS, 1 - LABELS, LABELS])
    assert len(found) == 3
    assert all(-1.001 <= cosine <= 1.001 for cosine in found.values())


def test_tasks_that_are_frozen_or_never_observed_are_left_out() -> None:
    assert list(measured("mmoe", [LABELS] * 3, frozen=[1])) == ["gradient_cosine/one~three"]
    assert measured("mmoe", [LABELS] * 3, frozen=[0, 1]) == {}
    unobserved = torch.full([ROWS], float("nan"))
    assert list(measured("mmoe", [LABELS, unobserved, LABELS])) == ["gradient_cosine/one~three"]


def test_the_cosine_is_that_of_the_dense_gradients_and_none_is_left_behind() -> None:
    model, batch = (
        network("mmoe").eval(),
        replace(rows(), labels=torch.stack([LABELS, 1 - LABELS, LABELS], 1)),
    )
    outputs = model(batch)
    losses = torch.stack([(outputs[:, 0] - 1).square().mean(), (outputs[:, 1] * batch.numeric[:, 0]).mean()])
    cosines = gradient_cosines(losses, model.shared_parameters)
    assert all(parameter.grad is None for parameter in model.parameters())

    flat: list[torch.Tensor] = []
    for task in range(2):
        model.zero_grad()
        again = model(batch)
        [(again[:, 0] - 1).square().mean(), (again[:, 1] * batch.numeric[:, 0]).mean()][task].backward()
        flat.append(torch.cat([parameter.grad.to_dense().flatten() for parameter in model.shared_parameters]))  # type: ignore[union-attr]
    assert float(cosines[0, 1]) == pytest.approx(
        float(torch.cosine_similarity(flat[0], flat[1], dim=0)), abs=1e-5
    )


def test_a_seldom_observed_task_keeps_its_labels() -> None:
    labels = torch.full([10_000, 2], float("nan"))
    labels[:, 0] = 1.0
    labels[::500, 1] = 0.0
    train = replace(rows()[torch.arange(10_000) % ROWS], labels=labels)
    sample = sampled_rows(train, most=100, seed=0)
    assert (~sample.labels.isnan()).sum(0).tolist() == [100, 20]
    assert 100 < len(sample) <= 120


def test_the_rows_follow_the_budget() -> None:
    assert affordable_rows(rows_per_round=200_000, tasks=3) == 1142
    assert affordable_rows(rows_per_round=10**9, tasks=3) == 4096
    assert affordable_rows(rows_per_round=1_000, tasks=8) == 64


def test_training_is_the_same_to_the_last_bit(prepared: TinyPipeline) -> None:
    spec = prepared.spec
    spec = spec.model_copy(update={"model": spec.model.model_copy(update={"dropout": 0.2})})
    dataset = Dataset(prepared.paths, spec)
    watched, plain = (
        fit_network(dataset, spec, spec.tasks, lambda line: None, callbacks)
        for callbacks in ([GradientConflict()], [])
    )
    for one, other in zip(
        watched.ranker.network.state_dict().values(), plain.ranker.network.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)
    pairs = {key for entry in watched.log for key in entry if key.startswith("gradient_cosine/")}
    assert pairs == {
        f"gradient_cosine/{pair}" for pair in ("watched~liked", "watched~rating", "liked~rating")
    }
    assert all(-1 <= entry[key] <= 1 for entry in watched.log for key in pairs & entry.keys())
    without = [{key: value for key, value in entry.items() if key not in pairs} for entry in watched.log]
    assert without == plain.log
