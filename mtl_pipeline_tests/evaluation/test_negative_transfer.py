"""Negative transfer, planted and found: two tasks that share a network too small for both, trained for real."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mtl_pipeline.checksums import write_checksums
from mtl_pipeline.evaluation.report.sections.joint_training import joint_sentence
from mtl_pipeline.evaluation.studies.scoring import Evaluation, evaluate
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.training.loop import fit_network
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec

ROWS, USERS = 12_000, 120
LOUD_WEIGHT = 50.0

CONFLICT = {
    "ids": [],
    "raw": {"users": None, "items": None},
    "interaction_key": ["row"],
    "split": {"hash_by": ["row"]},
    "features": {"interactions": {"numeric": ["one", "other"]}},
    "tasks": [
        {"name": "loud", "kind": "binary", "weight": LOUD_WEIGHT},
        {"name": "quiet", "kind": "binary"},
    ],
    "training": {"epochs": 12, "batch_size": 256, "learning_rate": 0.01, "weighting": "static"},
}
NARROW = {"architecture": "shared_bottom", "hidden": [1], "tower": [8]}
WIDE = {"architecture": "shared_bottom", "hidden": [16], "tower": [8]}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> PipelinePaths:
    """Each task depends on a feature of its own, so that one number cannot tell both."""
    paths = PipelinePaths(tmp_path_factory.mktemp("conflict"), "conflict")
    paths.examples.mkdir(parents=True)
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, ROWS))
    splits = np.repeat(["train", "validation", "test"], [ROWS // 2, ROWS // 4, ROWS // 4])
    pl.DataFrame(
        {
            "example_id": np.arange(ROWS),
            "user_id": rng.integers(USERS, size=ROWS),
            "split": splits,
            "one": one,
            "other": other,
            "loud": (2 * one + rng.logistic(size=ROWS) > 0).astype(np.int8),
            "quiet": (2 * other + rng.logistic(size=ROWS) > 0).astype(np.int8),
        }
    ).write_parquet(paths.examples / "examples.parquet")
    numbers = {"mean": 0.0, "standard_deviation": 1.0, "missing": 0, "transform": None}
    pl.DataFrame([{"feature": name} | numbers for name in ("one", "other")]).write_parquet(
        paths.examples / "statistics.parquet"
    )
    pl.DataFrame(schema={"feature": pl.String, "index": pl.Int64, "value": pl.String}).write_parquet(
        paths.examples / "vocabulary.parquet"
    )
    write_checksums(paths.examples)
    return paths


def trained_together_and_alone(paths: PipelinePaths, model: dict) -> Evaluation:
    spec = PipelineSpec.model_validate(CONFLICT | {"model": model})
    dataset = Dataset(paths, spec)
    evaluated = dataset.split("validation", "test")
    rows = dataset.encoder.encode(evaluated)
    together = fit_network(dataset, spec, spec.tasks, lambda line: None).ranker.predict(rows)
    alone = {
        task.name: fit_network(dataset, spec, [task], lambda line: None).ranker.predict(rows)[task.name]
        for task in spec.tasks
    }
    predictions = evaluated.select(
        "example_id", "user_id", "split", pl.col("loud", "quiet").name.prefix("label/")
    )
    columns = {
        f"prediction/{model}/{task.name}": found[task.name]
        for model, found in (("single_task", alone), ("multi_task", together))
        for task in spec.tasks
    }
    return evaluate(
        predictions.with_columns(**{name: pl.Series(c) for name, c in columns.items()}), spec.tasks
    )


def lost(evaluation: Evaluation, task: str) -> float:
    """ROC-AUC that joint training costs."""
    alone, together = (
        evaluation.score(task, model, "roc_auc").value for model in ("single_task", "multi_task")
    )
    return alone - together


def test_what_the_louder_task_takes_from_the_other_is_called_hurting(paths: PipelinePaths) -> None:
    evaluation = trained_together_and_alone(paths, NARROW)
    quiet = next(task for task in evaluation.tasks if task.name == "quiet")
    assert joint_sentence(evaluation, quiet) == "quiet: joint training hurts in ROC-AUC and log-loss."
    assert lost(evaluation, "quiet") > 0.1
    assert lost(evaluation, "loud") < 0.02


def test_with_room_for_both_tasks_little_is_lost(paths: PipelinePaths) -> None:
    evaluation = trained_together_and_alone(paths, WIDE)
    assert max(lost(evaluation, "quiet"), lost(evaluation, "loud")) < 0.02
