"""Baselines predict the same rows as the model, from the training split alone."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mtl_pipeline.learning.baselines import fit_linear, predict_baselines, text_components
from mtl_pipeline.spec import Task
from mtl_pipeline_tests.conftest import TinyPipeline


def test_every_baseline_predicts_every_held_out_row(prepared: TinyPipeline) -> None:
    paths, spec = prepared.paths, prepared.spec
    summary = predict_baselines(paths, spec, target=paths.baselines, log=lambda line: None)
    examples = pl.read_parquet(paths.examples / "examples.parquet")
    predictions = pl.read_parquet(paths.baselines / "predictions.parquet")
    held_out = examples.filter(pl.col("split") != "train")
    assert predictions["example_id"].equals(held_out["example_id"])
    assert summary.rows == len(held_out)
    models = ("constant", "popularity", "linear", "single_task")
    expected = {f"prediction/{model}/{task.name}" for model in models for task in spec.tasks}
    assert set(predictions.columns) - {"example_id"} == expected

    train = examples.filter(pl.col("split") == "train")
    for task in spec.tasks:
        constant = predictions[f"prediction/constant/{task.name}"].unique().to_list()
        assert constant == pytest.approx([train[task.name].mean()])


def test_linear_model_finds_a_linear_truth() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(4_000, 3))
    truth = inputs @ [1.0, -2.0, 0.5]
    rating = fit_linear(Task(name="rating", kind="regression"), inputs, truth, inputs)
    assert np.abs(rating - truth).max() < 0.01
    clicked = (rng.random(4_000) < 1 / (1 + np.exp(-truth))).astype(float)
    click = fit_linear(Task(name="click", kind="binary"), inputs, clicked, inputs)
    assert np.corrcoef(np.log(click / (1 - click)), truth)[0, 1] > 0.99


def test_one_label_only_gives_its_mean() -> None:
    inputs = np.ones((5, 1))
    assert fit_linear(Task(name="click", kind="binary"), inputs, np.ones(5), inputs).tolist() == [1.0] * 5


def test_text_components_ignore_vectors_that_training_never_saw() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(20, 6)).astype(np.float32)
    known = np.arange(10)
    changed = vectors.copy()
    changed[10:] *= 100
    assert np.allclose(text_components(vectors, known)[:10], text_components(changed, known)[:10], atol=1e-5)
