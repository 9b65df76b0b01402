"""Negative transfer, planted and found: two tasks that share a network too small for both, trained for real."""

from __future__ import annotations

import polars as pl
import pytest

from mtl_pipeline.evaluation.report.sections.joint_training import joint_sentence
from mtl_pipeline.evaluation.studies.scoring import Evaluation, evaluate
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.training.loop import fit_network
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline_tests.conflict import CONFLICT, NARROW, WIDE, write_conflict


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> PipelinePaths:
    return write_conflict(tmp_path_factory.mktemp("conflict"))


def trained_together_and_alone(paths: PipelinePaths, model: dict) -> Evaluation:
    spec = PipelineSpec.model_validate(CONFLICT | {"model": model})
    dataset = Dataset(paths, spec)
    evaluated = dataset.split("validation", "test")
    rows = dataset.encode(evaluated)
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
