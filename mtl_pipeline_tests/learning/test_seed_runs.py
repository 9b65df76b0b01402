"""Networks with further seeds: other networks, the same each time, and some that see no text."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from mtl_pipeline.checksums import write_checksums
from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.baselines.predict import predict_baselines
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.ranker.provenance import refuse_other_examples, unequal_training
from mtl_pipeline.learning.training.held_out import HeldOut
from mtl_pipeline.learning.training.seed_runs import (
    SeedNetworks,
    SeedRunsSummary,
    read_seed_runs,
    train_seeds,
)
from mtl_pipeline.learning.training.train import train_ranker
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.vectors import read_vectors, write_vectors
from mtl_pipeline_tests.conftest import MakeOnce, TinyPipeline
from mtl_pipeline_tests.learning.conftest import copied, prepare


def trained_seeds(pipeline: TinyPipeline, seeds: int, spec: PipelineSpec | None = None) -> SeedRunsSummary:
    """Of a model with the same settings."""
    spec = spec or pipeline.spec
    if seeds > 1:
        train(pipeline, spec)
    return train_seeds_only(pipeline, seeds, spec)


def train(pipeline: TinyPipeline, spec: PipelineSpec) -> None:
    train_ranker(pipeline.paths, spec, target=pipeline.paths.model, log=lambda line: None)
    predict_baselines(pipeline.paths, spec, target=pipeline.paths.baselines, log=lambda line: None)


def train_seeds_only(pipeline: TinyPipeline, seeds: int, spec: PipelineSpec) -> SeedRunsSummary:
    return train_seeds(
        pipeline.paths,
        spec,
        seeds=seeds,
        made_from={"model": "m", "examples": "e"},
        target=pipeline.paths.seed_runs,
        log=lambda line: None,
    )


def quick(pipeline: TinyPipeline, **changes: object) -> PipelineSpec:
    training = pipeline.spec.training.model_copy(update={"epochs": 1})
    return pipeline.spec.model_copy(update={"training": training, "seed": 7, **changes})


@pytest.fixture
def trained(make_once: MakeOnce, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyPipeline:
    """A copy of a pipeline with a model and baselines of quick settings."""

    def make(root: Path) -> None:
        shutil.copytree(make_once("prepared", prepare), root, symlinks=True, dirs_exist_ok=True)
        pipeline = TinyPipeline(root)
        train(pipeline, quick(pipeline))

    return copied(make_once("trained", make), tmp_path, monkeypatch)


def test_every_network_predicts_every_held_out_row(trained: TinyPipeline) -> None:
    summary = train_seeds_only(trained, 2, quick(trained))
    found, predictions = read_seed_runs(trained.paths.seed_runs)
    assert found == summary
    assert (summary.seeds, summary.networks) == ([7, 8], 1 + 3 + 2)
    assert summary.made_from == {"model": "m", "examples": "e"}
    held_out = pl.read_parquet(trained.paths.examples / "examples.parquet").filter(pl.col("split") != "train")
    fits = predictions.partition_by("model", "seed", as_dict=True)
    assert set(fits) == {("multi_task", 8), ("single_task", 8), ("without_text", 7), ("without_text", 8)}
    for fit in fits.values():
        assert fit["example_id"].equals(held_out["example_id"])
    columns = [f"prediction/{task.name}" for task in trained.spec.tasks]
    assert predictions.columns == ["model", "seed", "example_id", *columns]
    assert predictions.select(pl.col(columns).is_finite().all()).row(0) == (True,) * 3


@pytest.mark.parametrize("model", ["multi_task", "single_task", "without_text"])
def test_seeds_differ_and_each_is_reproducible(prepared: TinyPipeline, model: str) -> None:
    spec = quick(prepared)
    dataset = Dataset(prepared.paths, spec)
    held_out = HeldOut(dataset, spec)
    first, again, other = (SeedNetworks(dataset, held_out, spec, seed).predict(model) for seed in (1, 1, 2))
    assert first.equals(again)
    for task in spec.tasks:
        column = f"prediction/{task.name}"
        assert np.abs(first[column].to_numpy() - other[column].to_numpy()).max() > 1e-4


def test_the_first_seed_is_that_of_the_baselines(trained: TinyPipeline) -> None:
    """Trained once more, the network for one task alone is the one among the baselines: same code, same rows."""
    spec = quick(trained)
    baselines = pl.read_parquet(trained.paths.baselines / "predictions.parquet")
    dataset = Dataset(trained.paths, spec)
    again = SeedNetworks(dataset, HeldOut(dataset, spec), spec, spec.seed).predict("single_task")
    for task in spec.tasks:
        expected = baselines[f"prediction/single_task/{task.name}"].to_numpy()
        assert again[f"prediction/{task.name}"].to_numpy() == pytest.approx(expected)


def test_a_network_without_text_does_not_see_it(prepared: TinyPipeline) -> None:
    spec = quick(prepared)
    dataset = Dataset(prepared.paths, spec)
    held_out = HeldOut(dataset, spec)
    before = {
        model: SeedNetworks(dataset, held_out, spec, 0).predict(model)
        for model in ("multi_task", "without_text")
    }
    for vectors in dataset.text.tables.values():
        vectors.vectors[:] = vectors.vectors[::-1].copy()
    after = {model: SeedNetworks(dataset, held_out, spec, 0).predict(model) for model in before}
    assert before["without_text"].equals(after["without_text"])
    assert not before["multi_task"].equals(after["multi_task"])
    assert not before["multi_task"].drop("model").equals(before["without_text"].drop("model"))


def test_one_seed_is_nothing_to_train(prepared: TinyPipeline) -> None:
    summary = trained_seeds(prepared, 1)
    assert (summary.seeds, summary.networks, summary.seconds) == ([0], 0, {})
    _, predictions = read_seed_runs(prepared.paths.seed_runs)
    assert predictions.is_empty()
    assert predictions.columns[-1] == "prediction/rating"


def test_without_texts_there_is_no_such_network(prepared: TinyPipeline) -> None:
    features = prepared.spec.features
    silent = {
        table: getattr(features, table).model_copy(update={"text": None}) for table in ("users", "items")
    }
    spec = quick(prepared, features=features.model_copy(update=silent))
    trained_seeds(prepared, 2, spec)
    _, predictions = read_seed_runs(prepared.paths.seed_runs)
    assert set(predictions["model"]) == {"multi_task", "single_task"}


@pytest.mark.parametrize("summary", ["", "[]", '{"seeds": [0, 1]}'])
def test_half_a_folder_is_refused(prepared: TinyPipeline, summary: str) -> None:
    folder = prepared.paths.seed_runs
    trained_seeds(prepared, 1)
    (folder / "summary.json").write_text(summary)
    write_checksums(folder)
    with pytest.raises(UserError, match=r"holds no seed runs that can be read .*materialize seed_runs"):
        read_seed_runs(folder)


def test_without_a_model_they_say_what_to_do(prepared: TinyPipeline) -> None:
    with pytest.raises(UserError, match="model does not exist yet: materialize model first"):
        train_seeds_only(prepared, 2, prepared.spec)


def test_a_model_of_other_settings_is_not_mixed_with_further_seeds(trained: TinyPipeline) -> None:
    spec = quick(trained)
    others = {
        "training": spec.training.model_copy(update={"learning_rate": 1e-7}),
        "seed": 1,
        "model": spec.model.model_copy(update={"dropout": 0.3}),
    }
    for name, value in others.items():
        changed = spec.model_copy(update={name: value})
        with pytest.raises(UserError, match=f"model was not trained with the present {name}, so"):
            train_seeds_only(trained, 2, changed)
    train_ranker(trained.paths, changed, target=trained.paths.model, log=lambda line: None)
    with pytest.raises(UserError, match="baselines was not trained with the present model, so"):
        train_seeds_only(trained, 2, changed)
    assert unequal_training(trained.paths) == ["model"]
    train_ranker(trained.paths, spec, target=trained.paths.model, log=lambda line: None)
    assert unequal_training(trained.paths) == []
    train_seeds_only(trained, 2, spec)

    items = trained.paths.embeddings("items")
    found = read_vectors(items)
    hashes = pa.array([bytes(16)] * len(found.ids), pa.binary(16))
    write_vectors(items, found.ids, -found.vectors, hashes, found.metadata)
    with pytest.raises(UserError, match="with the present text vectors, "):
        train_seeds_only(trained, 2, spec)
    train_seeds_only(trained, 1, spec)


@pytest.mark.parametrize("stale", ["model", "baselines"])
def test_predictions_of_other_examples_are_not_evaluated(trained: TinyPipeline, stale: str) -> None:
    """Rows are known by their number: after the examples were built anew it may be that of another row."""
    spec = quick(trained)
    refuse_other_examples(trained.paths)
    examples = trained.paths.examples / "examples.parquet"
    pl.read_parquet(examples).with_columns(watched=1 - pl.col("watched")).write_parquet(examples)
    write_checksums(trained.paths.examples)
    if stale == "model":
        predict_baselines(trained.paths, spec, target=trained.paths.baselines, log=lambda line: None)
    else:
        train_ranker(trained.paths, spec, target=trained.paths.model, log=lambda line: None)
    with pytest.raises(
        UserError, match=f"{stale} was made from other examples .*, so materialize {stale} again"
    ):
        refuse_other_examples(trained.paths)
