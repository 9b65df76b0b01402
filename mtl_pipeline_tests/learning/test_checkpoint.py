"""A training that is interrupted goes on where it was, and one that diverges says where."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.learning.training.callbacks.base import Callback
from mtl_pipeline.learning.training.continuing import checkpoint
from mtl_pipeline.learning.training.continuing.checkpoint import Checkpoints
from mtl_pipeline.learning.training.divergence import Diverged
from mtl_pipeline.learning.training.loop import Fit, fit_network
from mtl_pipeline.learning.training.train import train_ranker
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline_tests.conftest import TinyPipeline
from mtl_pipeline_tests.faults.full_disk import can_mount, small_disk


class Killed(Exception):
    pass


class KilledIn(Callback):
    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    def after_round(self, entry: dict[str, float]) -> None:
        self.rounds -= 1
        if not self.rounds:
            raise Killed


@pytest.fixture
def at_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(checkpoint, "LARGEST_SHARE", float("inf"))


def declared(pipeline: TinyPipeline, **training: object) -> PipelineSpec:
    """So that one task is frozen long before the others."""
    settings = {"epochs": 6, "patience": 1, "batch_size": 256, "learning_rate": 0.03} | training
    changes = {
        "training": pipeline.spec.training.model_copy(update=settings),
        "model": pipeline.spec.model.model_copy(update={"dropout": 0.2, "id_dropout": 0.3}),
    }
    return pipeline.spec.model_copy(update=changes)


def same(one: Fit, other: Fit) -> bool:
    pairs = zip(one.ranker.members, other.ranker.members, strict=True)
    return one.log == other.log and all(
        all(torch.equal(value, theirs.weights[name]) for name, value in ours.weights.items())
        for ours, theirs in pairs
    )


@pytest.mark.usefixtures("at_every_round")
def test_a_training_killed_after_every_round_ends_as_one_that_was_not(
    prepared: TinyPipeline, tmp_path: Path
) -> None:
    """In the middle of epochs and between them, before and after a task is frozen."""
    spec = declared(prepared)
    dataset = Dataset(prepared.paths, spec)
    undisturbed = fit_network(dataset, spec, spec.tasks, lambda line: None)
    frozen = [sum(value for name, value in entry.items() if "frozen" in name) for entry in undisturbed.log]
    assert any(0 < count < len(spec.tasks) for count in frozen[:-1]), (
        "else the test would not see that a frozen task goes on"
    )

    lines: list[str] = []
    for _ in undisturbed.log[:-1]:
        with pytest.raises(Killed):  # two rounds on: the last one is lost
            fit_network(dataset, spec, spec.tasks, lines.append, [KilledIn(2)], Checkpoints(tmp_path))
    resumed = fit_network(dataset, spec, spec.tasks, lines.append, [Callback()], Checkpoints(tmp_path))
    assert lines.count("going on where an earlier training was interrupted") == len(undisturbed.log) - 1
    assert same(resumed, undisturbed)

    finished = fit_network(dataset, spec, spec.tasks, lines.append, [KilledIn(1)], Checkpoints(tmp_path))
    assert same(finished, undisturbed), "without another round"


@pytest.mark.usefixtures("at_every_round")
def test_a_checkpoint_of_something_else_or_a_damaged_one_is_not_taken_up(
    prepared: TinyPipeline, tmp_path: Path
) -> None:
    spec, other = declared(prepared), declared(prepared, learning_rate=0.01)
    dataset = Dataset(prepared.paths, spec)
    with pytest.raises(Killed):
        fit_network(dataset, spec, spec.tasks, lambda line: None, [KilledIn(3)], Checkpoints(tmp_path))
    lines: list[str] = []
    fit_network(dataset, other, other.tasks, lines.append, [Callback()], Checkpoints(tmp_path))
    assert not any("interrupted" in line for line in lines)
    for file in tmp_path.glob("*.pt"):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1  # amid the weights, where nothing else would notice
        file.write_bytes(content)
    again = fit_network(dataset, spec, spec.tasks, lines.append, [Callback()], Checkpoints(tmp_path))
    assert any("it is not as it was written): training starts anew" in line for line in lines)
    assert same(again, fit_network(dataset, spec, spec.tasks, lambda line: None))


@pytest.mark.skipif(not can_mount(), reason="mounting a small disk needs root")
@pytest.mark.usefixtures("at_every_round")
def test_on_a_full_disk_training_goes_on_without(prepared: TinyPipeline, tmp_path: Path) -> None:
    spec = declared(prepared)
    dataset, lines = Dataset(prepared.paths, spec), list[str]()
    with small_disk(tmp_path / "disk", "64k") as disk:
        fit = fit_network(dataset, spec, spec.tasks, lines.append, [], Checkpoints(disk / "checkpoints"))
        assert not list((disk / "checkpoints").iterdir())
    assert any("no checkpoint in" in line and "goes on without" in line for line in lines)
    assert same(fit, fit_network(dataset, spec, spec.tasks, lambda line: None))


@pytest.mark.usefixtures("at_every_round")
def test_those_of_another_training_of_the_asset_stay(prepared: TinyPipeline, tmp_path: Path) -> None:
    spec, kept = declared(prepared), Checkpoints(tmp_path / "model")
    dataset = Dataset(prepared.paths, spec)
    other = declared(prepared, learning_rate=0.01)
    with pytest.raises(Killed):
        fit_network(dataset, other, other.tasks, lambda line: None, [KilledIn(3)], Checkpoints(kept.folder))
    fit_network(dataset, spec, spec.tasks, lambda line: None, [], kept)
    assert len(list(tmp_path.rglob("*.pt"))) == 2
    kept.remove()
    assert len(list(tmp_path.rglob("*.pt"))) == 1


@pytest.mark.usefixtures("at_every_round")
def test_what_is_published_leaves_no_checkpoint(prepared: TinyPipeline) -> None:
    train_ranker(prepared.paths, declared(prepared), target=prepared.paths.model, log=lambda line: None)
    assert not prepared.paths.checkpoints.exists()


def test_a_short_training_writes_none(prepared: TinyPipeline, tmp_path: Path) -> None:
    spec = declared(prepared)
    fit_network(
        Dataset(prepared.paths, spec), spec, spec.tasks, lambda line: None, [], Checkpoints(tmp_path / "none")
    )
    assert not (tmp_path / "none").exists()


def test_a_loss_that_is_not_finite_stops_at_its_batch(prepared: TinyPipeline) -> None:
    spec = declared(prepared)
    dataset = Dataset(prepared.paths, spec)
    assert isinstance(dataset.train, Rows)
    dataset.train.numeric[7] = float("inf")
    with pytest.raises(Diverged, match=r"diverged in round 1: .* the largest lies inf standard deviations"):
        fit_network(dataset, spec, spec.tasks, lambda line: None)


def test_a_step_that_was_too_long_is_told_from_a_strange_batch(prepared: TinyPipeline) -> None:
    spec = declared(prepared, learning_rate=1e38)
    with pytest.raises(Diverged, match=r"diverged in round 1: .* after a step that left weights"):
        fit_network(Dataset(prepared.paths, spec), spec, spec.tasks, lambda line: None)


def test_clipped_gradients_are_no_longer_than_declared(prepared: TinyPipeline) -> None:
    """The step of Adam does not depend on the length of gradients that are all the same: so they are looked at."""

    class Watch(Callback):
        longest = 0.0

        def after_step(self) -> None:
            gradients = [parameter.grad for parameter in self.run.network.parameters()]
            dense = [grad for grad in gradients if grad is not None and not grad.is_sparse]
            self.longest = max(self.longest, float(torch.stack([grad.norm() for grad in dense]).norm()))

    watch = Watch()
    spec = declared(prepared, clip_gradients=0.05)
    fit_network(Dataset(prepared.paths, spec), spec, spec.tasks, lambda line: None, [watch])
    assert 0 < watch.longest <= 0.05 * 1.001
