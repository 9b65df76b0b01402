"""Permuted predictions of a ranker whose one decisive feature is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from mtl_pipeline.checksums import write_checksums
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.learning.data.feature_groups import FeatureGroup, feature_groups
from mtl_pipeline.learning.explain.importance import permuted, permuted_predictions
from mtl_pipeline.learning.explain.probing import (
    FEWEST_ROWS,
    MOST_ROWS,
    PERMUTATIONS,
    Probe,
    open_probe,
    rows_per_task,
)
from mtl_pipeline.learning.network import MultiTaskNetwork
from mtl_pipeline.learning.ranker.members import Member
from mtl_pipeline.learning.representation.representation import NetworkShape
from mtl_pipeline.learning.training.train import train_ranker
from mtl_pipeline.spec import Model
from mtl_pipeline_tests.conftest import TinyPipeline

ROWS = 200


def numbered_rows() -> Rows:
    """Each row has its own number in every column."""
    number = torch.arange(ROWS)
    column = number[:, None]
    return Rows(
        ids=column.repeat(1, 2).int(),
        categorical=column.repeat(1, 4).int(),
        numeric=column.repeat(1, 3).float(),
        text=column.repeat(1, 2).int(),
        labels=column.float(),
        sequence=column.repeat(1, 2),
    )


def test_a_group_moves_as_one_and_everything_else_stays() -> None:
    group = FeatureGroup("two", "family", True, {"categorical": [1, 3], "numeric": [2], "text": [0]})
    rows, order = numbered_rows(), torch.randperm(ROWS, generator=torch.Generator().manual_seed(0))
    moved = permuted(rows, group, order)
    for column in (moved.categorical[:, 1], moved.categorical[:, 3], moved.numeric[:, 2], moved.text[:, 0]):
        assert torch.equal(column.long(), order)
    for column in (moved.categorical[:, 0], moved.numeric[:, 1], moved.text[:, 1], moved.labels[:, 0]):
        assert torch.equal(column.long(), torch.arange(ROWS))
    assert torch.equal(moved.ids, rows.ids)
    assert torch.equal(rows.categorical[:, 1].long(), torch.arange(ROWS))  # the original is left alone


def test_every_declared_feature_is_one_group_with_all_its_columns(prepared: TinyPipeline) -> None:
    examples = prepared.paths.examples / "examples.parquet"
    statistics = prepared.paths.examples / "statistics.parquet"
    age_is_missing_at_times = pl.when(pl.col("feature") == "age").then(3).otherwise(pl.col("missing"))
    pl.read_parquet(statistics).with_columns(age_is_missing_at_times.alias("missing")).write_parquet(
        statistics
    )
    lists = pl.concat_list("genres", pl.lit("Drama"))
    pl.read_parquet(examples).with_columns(lists).write_parquet(examples)
    write_checksums(prepared.paths.examples)
    dataset = Dataset(prepared.paths, prepared.spec)
    encoder = dataset.encoder
    groups = {group.name: group for group in feature_groups(prepared.spec, encoder)}

    assert "items chosen last" not in groups
    with_items = feature_groups(prepared.spec, encoder, reads_sequences=True)
    (last,) = [group for group in with_items if group.name == "items chosen last"]
    assert (last.family, last.columns) == ("history", {"sequence": [0, 1]})

    names, features = encoder.numeric_names, encoder.statistics["feature"].to_list()
    assert groups["age"].columns == {"numeric": [names.index("age"), names.index("age missing")]}
    assert groups["genres"].columns == {"categorical": [3, 4]}
    assert groups["user id"].columns == {"ids": [0]}
    assert groups["item text"].columns == {"text": [1]}
    assert groups["all item features"].columns == {
        "categorical": [3, 4],
        "numeric": [features.index("release_year")],
    }
    singles = [group for group in groups.values() if not group.is_family]
    assert len(singles) == 2 + 2 + 4 + 2 + len(prepared.spec.features.history)
    taken = sorted(
        (tensor, column)
        for group in singles
        for tensor, columns in group.columns.items()
        for column in columns
    )
    rows = dataset.train
    assert taken == sorted(
        (tensor, column)
        for tensor in ("ids", "categorical", "numeric", "text")
        for column in range(getattr(rows, tensor).shape[1])
    )


def test_what_it_costs_is_bounded_whatever_the_number_of_features() -> None:
    assert rows_per_task(groups=4, tasks=1) == MOST_ROWS
    assert FEWEST_ROWS < rows_per_task(groups=22, tasks=3) < 5_000
    assert rows_per_task(groups=500, tasks=8) == FEWEST_ROWS


@pytest.fixture
def probe(prepared: TinyPipeline) -> Probe:
    paths, spec = prepared.paths, prepared.spec
    train_ranker(paths, spec, target=paths.model, log=lambda line: None)
    return open_probe(paths, spec, paths.model)


def test_tasks_are_asked_on_rows_where_they_were_observed(probe: Probe, prepared: TinyPipeline) -> None:
    """`liked` and `rating` are observed on watched rows only, and shuffled among these."""
    assert [sample.tasks for sample in probe.samples] == [["watched"], ["liked", "rating"]]
    test = pl.read_parquet(prepared.paths.examples / "examples.parquet").filter(split="test")
    assert [len(sample.rows) for sample in probe.samples] == [len(test), int(test["watched"].sum())]
    assert not any(sample.rows.labels[:, 1:].isnan().any() for sample in probe.samples[1:])

    frames = list(permuted_predictions(probe))
    assert len(frames) == 2 * (1 + len(probe.groups) * PERMUTATIONS)
    assert frames[0].columns[:2] == ["label/watched", "prediction/watched"]
    intact = probe.ranker.predict(probe.samples[0].rows)["watched"]
    assert np.array_equal(frames[0]["prediction/watched"].to_numpy(), intact)
    assert all(one.equals(other) for one, other in zip(frames, permuted_predictions(probe), strict=True))


def test_only_the_shuffled_group_can_change_a_prediction(probe: Probe) -> None:
    """A ranker that reads nothing but the first number."""

    class FirstNumber(MultiTaskNetwork):
        def forward(self, rows: Rows) -> torch.Tensor:
            return rows.numeric[:, :1].repeat(1, 3)

    shape = NetworkShape({}, (), numerics=probe.samples[0].rows.numeric.shape[1], outputs=(1, 1, 1))
    member = Member.of(FirstNumber(Model(), shape, {}), probe.ranker.tasks)
    ranker = replace(probe.ranker, members=[member], calibration={})
    frames = permuted_predictions(replace(probe, ranker=ranker, samples=probe.samples[:1]))
    intact = next(frames)["prediction/watched"]
    changed = {frame["group"][0] for frame in frames if not frame["prediction/watched"].equals(intact)}
    assert changed == {"age", "all user features"}
