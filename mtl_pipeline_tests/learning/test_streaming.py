"""A training split that is read while it is trained on, against the same in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from mtl_pipeline.checksums import write_checksums
from mtl_pipeline.learning.baselines.predict import predict_baselines
from mtl_pipeline.learning.data import streaming
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.learning.data.streaming import StreamedRows
from mtl_pipeline.learning.training.batches import ROUNDS_PER_EPOCH, Batches
from mtl_pipeline.learning.training.callbacks.base import Callback
from mtl_pipeline.learning.training.callbacks.gradient_conflict import sampled_rows
from mtl_pipeline.learning.training.continuing.checkpoint import Checkpoints
from mtl_pipeline.learning.training.loop import fit_network
from mtl_pipeline.learning.training.optimisation.losses import label_scale, labelled_rows
from mtl_pipeline.learning.training.train import train_ranker
from mtl_pipeline.learning.tuning.search import search_fingerprint
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline_tests.conftest import TinyPipeline
from mtl_pipeline_tests.learning.test_checkpoint import Killed, KilledIn, at_every_round, declared, same

__all__ = ["at_every_round"]

GROUP, AT_ONCE = 100, 320
"""Lines of a row group, and rows that are shuffled together: so a buffer ends within a group."""
UNLABELLED = 3
"""The row group without any label."""


@pytest.fixture
def small_groups(prepared: TinyPipeline, monkeypatch: pytest.MonkeyPatch) -> TinyPipeline:
    """In one row group, nothing is labelled."""
    monkeypatch.setattr(streaming, "ROWS_AT_ONCE", AT_ONCE)
    path = prepared.paths.examples / "examples.parquet"
    labelled = pl.int_range(pl.len()) // GROUP != UNLABELLED
    labels = [pl.when(labelled).then(task.name).alias(task.name) for task in prepared.spec.tasks]
    pl.read_parquet(path).with_columns(labels).write_parquet(path, row_group_size=GROUP)
    write_checksums(prepared.paths.examples)
    return prepared


def streamed(spec: PipelineSpec) -> PipelineSpec:
    return spec.model_copy(update={"training": spec.training.model_copy(update={"rows_in_memory": 1})})


def both(pipeline: TinyPipeline) -> tuple[Rows, StreamedRows]:
    """The labelled rows, as `fit_network` takes them."""
    spec, found = pipeline.spec, []
    for declaration in (spec, streamed(spec)):
        train = Dataset(pipeline.paths, declaration).train
        columns = list(range(len(spec.tasks)))
        found.append(labelled_rows(train, columns, label_scale(train.labels, spec.tasks)))
    memory, stream = found
    assert isinstance(memory, Rows)
    assert isinstance(stream, StreamedRows)
    return memory, stream


def equal(one: Rows, other: Rows) -> bool:
    return all(
        torch.equal(tensor.nan_to_num(-1), other.tensors[name].nan_to_num(-1))
        for name, tensor in one.tensors.items()
    )


def test_rows_are_those_of_memory_by_number_and_in_order(small_groups: TinyPipeline) -> None:
    memory, stream = both(small_groups)
    assert len(stream) == len(memory) == len(stream.labels) > 5 * GROUP
    assert not ((stream.lines >= UNLABELLED * GROUP) & (stream.lines < (UNLABELLED + 1) * GROUP)).any()
    assert torch.equal(stream.labels.nan_to_num(-1), memory.labels.nan_to_num(-1))
    some = torch.tensor([7, 450, 3, 7, len(memory) - 1])
    assert equal(stream[some], memory[some])
    ordered = list(stream.batches(64))
    assert equal(ordered[2], memory[128:192])
    assert sum(map(len, ordered)) == len(memory)
    assert equal(stream.sample(), memory)


def test_a_thinned_split_is_the_same(small_groups: TinyPipeline) -> None:
    training = small_groups.spec.training.model_copy(update={"rows": 250})
    thin = small_groups.spec.model_copy(update={"training": training})
    memory, stream = (
        Dataset(small_groups.paths, thin).train,
        Dataset(small_groups.paths, streamed(thin)).train,
    )
    assert len(stream) == 250
    assert equal(stream[torch.arange(250)], memory[torch.arange(250)])


def test_columns_that_a_network_is_not_told_of_are_hidden_in_either(small_groups: TinyPipeline) -> None:
    """As those made of texts are from one without text."""
    spec = small_groups.spec
    memory, stream = (Dataset(small_groups.paths, declaration) for declaration in (spec, streamed(spec)))
    seen = stream.train[torch.arange(100)]
    for dataset in (memory, stream):
        dataset.lines = replace(dataset.lines, replaced=(pl.lit(None, pl.Float64).alias("age"),))
        dataset.__dict__.pop("train", None)
    assert equal(stream.train[torch.arange(100)], memory.train[torch.arange(100)])
    assert not equal(stream.train[torch.arange(100)], seen)


def test_a_task_with_few_labels_is_learned_in_memory(small_groups: TinyPipeline) -> None:
    """Else all of the file would be read in each epoch for few rows."""
    memory, stream = both(small_groups)
    some = stream.labels.clone()
    some[torch.arange(len(some)) % 10 > 0] = float("nan")
    few = replace(stream, most=len(some) // 5).labelled(some)
    assert isinstance(few, Rows)
    assert equal(few, memory.labelled(some))
    assert isinstance(stream.labelled(some), StreamedRows)


def epoch(batches: Batches) -> tuple[list[torch.Tensor], list[Rows]]:
    drawn = [batch for _ in range(ROUNDS_PER_EPOCH) for batch in batches.draw()]
    return [numbers for numbers, _ in drawn], [rows for _, rows in drawn]


def test_each_row_once_an_epoch_in_an_order_that_the_seed_decides(small_groups: TinyPipeline) -> None:
    memory, stream = both(small_groups)
    torch.manual_seed(1)
    size = len(stream) // 50
    batches = Batches(stream, epochs=2, batch_size=size)
    (first, rows), (second, _) = epoch(batches), epoch(batches)
    for numbers in (first, second):
        assert torch.equal(torch.cat(numbers).sort().values, torch.arange(len(stream)))
        assert {len(batch) for batch in numbers[:-1]} == {size}
    assert not torch.equal(torch.cat(first), torch.cat(second))
    assert all(equal(batch, memory[numbers]) for numbers, batch in zip(first, rows, strict=True))
    torch.manual_seed(1)
    again, _ = epoch(Batches(stream, epochs=2, batch_size=size))
    assert torch.equal(torch.cat(again), torch.cat(first))


def test_buffers_mix_row_groups(small_groups: TinyPipeline) -> None:
    """Rows lie in the file by time: neither an epoch nor a batch follows it."""
    _, stream = both(small_groups)
    torch.manual_seed(0)
    numbers, _ = epoch(Batches(stream, epochs=1, batch_size=16))
    place = torch.cat(numbers).double()
    correlation = np.corrcoef(place, torch.arange(len(place)))[0, 1]
    neighbours = np.corrcoef(place[1:], place[:-1])[0, 1]
    assert abs(correlation) < 0.5
    assert abs(neighbours) < 0.5
    groups = [len((stream.lines[batch] // GROUP).unique()) for batch in numbers]
    assert np.mean(groups) > 2.5, "of the 4 or 5 that are in a buffer"


def test_it_learns_as_much_as_in_memory(small_groups: TinyPipeline) -> None:
    spec = declared(small_groups)
    losses = []
    for declaration in (spec, streamed(spec)):
        dataset = Dataset(small_groups.paths, declaration)
        losses.append(fit_network(dataset, declaration, spec.tasks, lambda line: None).best["score"])
    memory, stream = losses
    assert stream < 1
    assert stream == pytest.approx(memory, abs=0.15), "another order of few rows"


@pytest.mark.usefixtures("at_every_round")
def test_killed_after_every_round_it_ends_as_one_that_was_not(
    small_groups: TinyPipeline, tmp_path: Path
) -> None:
    spec = streamed(declared(small_groups, batch_size=16, learning_rate=0.003))
    dataset = Dataset(small_groups.paths, spec)
    undisturbed = fit_network(dataset, spec, spec.tasks, lambda line: None)
    frozen = [sum(value for name, value in entry.items() if "frozen" in name) for entry in undisturbed.log]
    assert any(0 < count < len(spec.tasks) for count in frozen[:-1])
    for _ in undisturbed.log[:-1]:
        with pytest.raises(Killed):
            fit_network(dataset, spec, spec.tasks, lambda line: None, [KilledIn(2)], Checkpoints(tmp_path))
    resumed = fit_network(dataset, spec, spec.tasks, lambda line: None, [Callback()], Checkpoints(tmp_path))
    assert same(resumed, undisturbed)


def test_what_is_known_by_row_number_is_of_the_right_rows(small_groups: TinyPipeline) -> None:
    """The sample of GradientConflict; what frozen tasks are held to, predictions of all rows, looked up by batch."""
    memory, stream = both(small_groups)
    sample = sampled_rows(stream, most=40, seed=0)
    assert equal(sample, sampled_rows(memory, most=40, seed=0))
    whole = torch.cat([rows.numeric for rows in stream.batches(50)])
    torch.manual_seed(0)
    for numbers, rows in Batches(stream, epochs=1, batch_size=16).draw():
        assert torch.equal(whole[numbers], rows.numeric)


def test_all_that_learns_from_the_split_can(small_groups: TinyPipeline) -> None:
    """Baselines fetch the rows that they are fitted on, and the examples may be deleted meanwhile."""
    paths, spec = small_groups.paths, streamed(small_groups.spec)
    dataset = Dataset(paths, spec)
    assert search_fingerprint(dataset, spec) != search_fingerprint(
        Dataset(paths, streamed(spec)), small_groups.spec
    )
    predict_baselines(paths, spec, target=paths.baselines, log=lambda line: None)
    summary = train_ranker(paths, spec, target=paths.model, log=lambda line: None)
    assert summary.best_validation_score < 1
    thinned = spec.model_copy(update={"baselines": spec.baselines.model_copy(update={"rows": 50})})
    assert all(len(dataset.drawn_for(task.name, thinned).train) == 50 for task in spec.tasks)
    before = dataset.train[torch.arange(5)]
    (paths.examples / "examples.parquet").unlink()
    assert equal(dataset.train[torch.arange(5)], replace(before))
