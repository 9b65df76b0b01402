"""Training that goes on from last night's champion: what is carried over, and when it must not be."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import torch

from mtl_pipeline.champions import Decision, carry_out, champion_folder, model_fingerprint
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.data.encoding import FeatureEncoder
from mtl_pipeline.learning.network import MultiTaskNetwork
from mtl_pipeline.learning.ranker.members import Member
from mtl_pipeline.learning.ranker.provenance import read_seen, started_from
from mtl_pipeline.learning.ranker.ranker import Ranker, load_ranker
from mtl_pipeline.learning.training.continuing.carrying_over import id_rows
from mtl_pipeline.learning.training.continuing.checkpoint import Checkpoints
from mtl_pipeline.learning.training.continuing.warm_start import WarmStart, warm_starts
from mtl_pipeline.learning.training.loop import fit_network, network_shape
from mtl_pipeline.learning.training.optimisation.losses import label_scale
from mtl_pipeline.learning.training.train import train_ranker
from mtl_pipeline.spec import Model, PipelineSpec
from mtl_pipeline.spec.quick import quick
from mtl_pipeline.vectors import write_vectors
from mtl_pipeline.warehouse.features.examples import build_examples
from mtl_pipeline.warehouse.tables import TABLES, build_table
from mtl_pipeline.workflows.evaluate import warm_start_caveat
from mtl_pipeline_tests.conftest import ITEMS, MakeOnce, TinyPipeline, ids_of, tiny_tables
from mtl_pipeline_tests.learning.conftest import copied, prepare

NEW, TWIN, DROPPED = "7", "8", "9"
"""A movie that came today, an older one with the same text, and one that is gone today."""
YESTERDAY = 891_000_000
"""The log's last seconds then; today it ends at 895,000,000."""


def bring(pipeline: TinyPipeline, *, without: str, until: int = 895_000_000) -> None:
    """Tables, examples and vectors from a log that ends there and knows no such movie."""
    tables = tiny_tables()
    tables["movies.csv"] = [row for row in tables["movies.csv"] if str(row[0]) != without]
    header, *ratings = tables["ratings.csv"]
    tables["ratings.csv"] = [header, *(row for row in ratings if str(row[1]) != without and row[3] < until)]
    for name, rows in tables.items():
        with (pipeline.paths.raw / name).open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    for table in TABLES:
        build_table(pipeline.paths, pipeline.spec, table)
    build_examples(pipeline.paths, pipeline.spec)
    of_all = np.random.default_rng(0).normal(size=(ITEMS + 1, 8)).astype(np.float32)
    of_all[int(NEW)] = of_all[int(TWIN)]
    for table in ("users", "items"):
        ids = ids_of(pipeline.paths, pipeline.spec, table)
        hashes, metadata = (
            pa.array([bytes(16)] * len(ids), pa.binary(16)),
            {"encoder_fingerprint": "random", "encoder": "{}"},
        )
        write_vectors(pipeline.paths.embeddings(table), ids, of_all[ids.to_numpy()], hashes, metadata)


def declared(pipeline: TinyPipeline, model: dict | None = None, **training: object) -> PipelineSpec:
    """With a warm start."""
    changes = {
        "training": pipeline.spec.training.model_copy(update={"warm_start": True, "epochs": 2} | training)
    }
    small = pipeline.spec.model.model_dump(exclude_unset=True)
    return pipeline.spec.model_copy(update=changes | {"model": Model.model_validate(small | (model or {}))})


def promote(pipeline: TinyPipeline, spec: PipelineSpec) -> None:
    """Train a model, and make it the champion."""
    train_ranker(pipeline.paths, spec, target=pipeline.paths.model, log=lambda line: None)
    fingerprint = model_fingerprint(pipeline.paths.model)
    decision = Decision("by hand", fingerprint, None, True, False, [], [])
    carry_out(pipeline.paths, decision, keep=3)


def make_today(root: Path) -> None:
    prepare(root)
    pipeline = TinyPipeline(root)
    bring(pipeline, without=NEW, until=YESTERDAY)
    promote(pipeline, declared(pipeline, members=2))
    bring(pipeline, without=DROPPED)


@pytest.fixture
def today(make_once: MakeOnce, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyPipeline:
    """Last night's model of two networks is champion, and a day has been added to the log. A copy of its own."""
    return copied(make_once("yesterdays_champion", make_today), tmp_path, monkeypatch)


def begun(pipeline: TinyPipeline, spec: PipelineSpec) -> tuple[list[WarmStart], list[str]]:
    """What networks begin with, and the log."""
    lines: list[str] = []
    return warm_starts(pipeline.paths, spec, Dataset(pipeline.paths, spec), lines.append), lines


def champion(pipeline: TinyPipeline, spec: PipelineSpec) -> tuple[Ranker, FeatureEncoder]:
    return load_ranker(champion_folder(pipeline.paths)[1], spec, Dataset(pipeline.paths, spec).text)


def test_rows_of_ids_and_categories_are_found_by_value(today: TinyPipeline) -> None:
    spec = declared(today)
    (start, other), lines = begun(today, spec)
    assert lines == [f"warm start: training goes on from champion {start.champion[:12]}"]
    (ranker, then), now = champion(today, spec), Dataset(today.paths, spec).encoder
    old = ranker.network.representation
    for name in ("user_id", "item_id"):
        table, before = (
            start.weights[f"representation.ids.{name}.table.weight"],
            old.ids[name].get_parameter("table.weight"),
        )
        values = now.vocabulary[name]
        places = then.index(values, name)
        assert (places != now.index(values, name)).any(), "else the test would not see a confusion"
        known = places.to_torch() > 0
        assert torch.equal(table[1:][known], before[places.to_torch()[known].long()])
        assert torch.equal(table[0], before[0])
    assert set(now.vocabulary["item_id"]) ^ set(then.vocabulary["item_id"]) == {NEW, DROPPED}
    row = {value: place for place, value in enumerate(now.vocabulary["genres"], 1)}
    row_then = {value: place for place, value in enumerate(then.vocabulary["genres"], 1)}
    assert [field.name for field in now.fields].index("genres") == len(now.fields) - 1
    tables = (
        start.weights["representation.categorical.table.weight"],
        old.categorical.get_parameter("table.weight"),
    )
    ends = [table[-len(row) - 1 :] for table in tables]
    for value, place in row.items():
        assert torch.equal(ends[0][place], ends[1][row_then[value]])
    key = "representation.ids.item_id.table.weight"
    assert not torch.equal(start.weights[key], other.weights[key]), "each network goes on from its own"


def test_a_new_id_begins_as_its_text_says_or_as_unknown(today: TinyPipeline) -> None:
    spec = declared(today)
    dataset, (_, then) = Dataset(today.paths, spec), champion(today, spec)
    texts, vectors = dataset.text.ids["item_id"], dataset.text.tables["items"].vectors
    place = {value: number for number, value in enumerate(dataset.encoder.vocabulary["item_id"], 1)}
    table = torch.full((len(then.vocabulary["item_id"]) + 1, 8), -1.0)
    known = then.index(texts, "item_id").to_torch().long()
    table[known[known > 0]] = 2 + 3 * torch.from_numpy(vectors)[known > 0]
    rows = id_rows(table, "item_id", then, dataset)
    assert torch.allclose(rows[place[NEW]], rows[place[TWIN]], atol=0.05)
    del dataset.encoder.text_ids["item_id"]
    assert torch.equal(id_rows(table, "item_id", then, dataset)[place[NEW]], table[0])


MODELS: dict[str, dict] = {
    "mmoe": {},
    "numbers in the product of user and item": {"interaction": "features"},
    "bins": {"numbers": "piecewise"},
    "components": {"text_components": 6, "text_whitened": True},
    "linear": {"architecture": "linear"},
    "own ids": {"architecture": "stem"},
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_with_all_weights_kept_a_network_predicts_what_the_champion_does(
    prepared: TinyPipeline, model: dict
) -> None:
    """With other statistics of numbers and labels, another order of ids, and missing values."""
    spec = declared(prepared, model)
    bring(prepared, without=NEW, until=YESTERDAY)
    promote(prepared, spec)
    bring(prepared, without=DROPPED)
    dataset, ((start,), _) = Dataset(prepared.paths, spec), begun(prepared, spec)
    ranker, then = champion(prepared, spec)
    moved = (then.statistics["mean"] - dataset.statistics["mean"]) / then.statistics["standard_deviation"]
    assert moved.abs().max() > 0.05  # type: ignore[operator]

    scale = label_scale(dataset.train.labels, spec.tasks)
    network = MultiTaskNetwork(spec.model, network_shape(dataset, spec, spec.tasks), dataset.text.tensors)
    network.representation.fit(dataset.train)
    start.into(network, scale, kept=1.0)
    rows = dataset.split("train").filter(pl.col("item_id").cast(pl.String) != NEW)
    in_range = [
        pl.col(name).is_null() | pl.col(name).log1p().is_between(low, high)
        if transform == "log1p"
        else pl.col(name).is_null() | pl.col(name).is_between(low, high)
        for name, transform, low, high in then.statistics.select(
            "feature", "transform", "lower", "upper"
        ).iter_rows()
    ]
    rows = rows.filter(*in_range)
    if network.representation.numbers:  # a missing one is at the mean, wherever that lies among the bins
        rows = rows.drop_nulls(then.statistics["feature"].to_list())
    assert len(rows) > 1_000
    new = Ranker([Member.of(network, spec.tasks)], list(spec.tasks), scale).predict_uncalibrated(
        dataset.encode(rows)
    )
    for task, values in ranker.joint.predict_uncalibrated(then.encode(rows)).items():
        assert np.abs(values - new[task]).max() < 1e-4, task
        assert values.std() > 0.01


def test_training_goes_on_from_there_the_same_way_each_time(today: TinyPipeline) -> None:
    spec = declared(today)
    summaries = [
        train_ranker(today.paths, spec, target=today.paths.data / name, log=lambda line: None)
        for name in ("model", "again")
    ]
    assert summaries[0].fingerprint == summaries[1].fingerprint
    fingerprint, folder = champion_folder(today.paths)
    seen, before = read_seen(today.paths.model), read_seen(folder)
    assert all(seen[name] >= before[name] for name in ("until", "trained_until"))
    assert summaries[0].started_from == started_from(today.paths.model) == fingerprint
    assert fingerprint[:12] in warm_start_caveat(today.paths)
    cold = declared(today, warm_start=False)
    train_ranker(today.paths, cold, target=today.paths.model, log=lambda line: None)
    assert warm_start_caveat(today.paths) == ""
    assert not quick(spec).training.warm_start


def test_it_starts_half_way_between_random_weights_and_the_champion(today: TinyPipeline) -> None:
    spec = declared(today)
    dataset, ((start, _), _) = Dataset(today.paths, spec), begun(today, spec)
    shape = network_shape(dataset, spec, spec.tasks)
    network = MultiTaskNetwork(spec.model, shape, dataset.text.tensors)
    random = {name: value.clone() for name, value in network.state_dict().items()}
    start.into(network, start.scale)
    for name, value in network.state_dict().items():
        assert torch.allclose(value, (random[name] + start.weights[name]) / 2, atol=1e-6), name


def test_a_checkpoint_belongs_to_the_champion_that_training_started_from(today: TinyPipeline) -> None:
    spec, checkpoints = declared(today, epochs=1), Checkpoints()
    dataset, ((start, _), _) = Dataset(today.paths, spec), begun(today, spec)
    for one in (None, start, replace(start, champion="another")):
        fit_network(dataset, spec, spec.tasks, lambda line: None, checkpoints=checkpoints, start=one)
    assert len(checkpoints.used) == 3


def refusal(pipeline: TinyPipeline, spec: PipelineSpec) -> str:
    """The one line of the log that says why training starts with random weights."""
    starts, lines = begun(pipeline, spec)
    assert not starts
    (line,) = lines
    assert line.startswith("no warm start, training starts with random weights: ")
    return line


def test_a_champion_that_learned_from_rows_that_are_held_out_now_is_not_gone_on_from(
    today: TinyPipeline,
) -> None:
    spec = declared(today)
    otherwise = spec.model_copy(update={"split": spec.split.model_copy(update={"train": 0.5})})
    assert refusal(today, otherwise).endswith("was trained when rows were split otherwise")
    bring(today, without=DROPPED, until=YESTERDAY - 3_000_000)
    assert refusal(today, spec).endswith("has seen rows that are validation rows now")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"model": {"dropout": 0.25}}, "has other settings of model"),
        ({"members": 1}, ""),
    ],
)
def test_settings_of_the_network_have_to_be_the_same_and_no_others(
    today: TinyPipeline, change: dict, why: str
) -> None:
    spec = declared(today, **change)
    assert refusal(today, spec).endswith(why) if why else begun(today, spec)[0]


def test_without_a_champion_that_fits_training_starts_as_ever(today: TinyPipeline) -> None:
    spec = declared(today)
    assert "for other tasks" in refusal(today, spec.model_copy(update={"tasks": spec.tasks[:2]}))
    _, folder = champion_folder(today.paths)
    (folder / "model.safetensors").write_bytes(b"")
    assert "is damaged" in refusal(today, spec)
    today.paths.champion_history.unlink()
    assert "names no champion" in refusal(today, spec)
    lines: list[str] = []
    summary = train_ranker(today.paths, spec, target=today.paths.model, log=lines.append)
    assert summary.started_from == "random weights"
    assert "names no champion" in lines[0]
