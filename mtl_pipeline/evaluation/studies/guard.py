"""The guard's judgement on validation rows, and what came of it on test rows.

A task stays with the networks for all tasks unless these are shown to be worse than its own networks: in the task's
headline metric, with a paired interval. Then the own networks predict it, or the mean of both kinds where that is
better in every compared metric. In one alone, chance can favour a mean with networks that know nothing of the task.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from mtl_pipeline.evaluation.inference.comparing import compare
from mtl_pipeline.evaluation.inference.intervals import WORSE
from mtl_pipeline.evaluation.studies.frames import COMPARED, published
from mtl_pipeline.evaluation.studies.scoring import in_headline, score_models
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import JOINT, MEAN, OWN, SINGLE_TASK, prediction_column, task_rows
from mtl_pipeline.spec import Task

GUARD = (
    *("task", "predicted_by", "split", "metric", "baseline"),
    *(*COMPARED, "candidate_value", "baseline_value"),
)
"""Columns: the differences are those of JOINT, the networks for all tasks alone, minus the baseline."""


def judge_members(
    predictions: pl.DataFrame, tasks: Sequence[Task], *, bootstrap_samples: int, seed: int
) -> pl.DataFrame:
    """What each task is to be predicted by, going by the models JOINT, OWN and MEAN on validation rows: GUARD."""

    def judged(task: Task) -> pl.DataFrame:
        found = compare_joint(predictions, task, "validation", (OWN, MEAN), bootstrap_samples, seed)
        return found.with_columns(predicted_by=pl.lit(best(found, task)))

    return pl.concat(map(judged, tasks))


def best(compared: pl.DataFrame, task: Task) -> str:
    (against_own,) = in_headline(compared, task).filter(baseline=OWN).to_dicts()
    if against_own["verdict"] != WORSE:
        return JOINT
    gains = [
        of_mean - of_own if KINDS[task.kind].metric(metric).higher_is_better else of_own - of_mean
        for metric, of_own, of_mean in compared.pivot("baseline", index="metric", values="baseline_value")
        .select("metric", OWN, MEAN)
        .iter_rows()
    ]
    return MEAN if min(gains) > 0 else OWN


def measure_guard(
    predictions: pl.DataFrame,
    judged: pl.DataFrame,
    tasks: Sequence[Task],
    *,
    bootstrap_samples: int,
    seed: int,
) -> pl.DataFrame:
    """`judged`, and JOINT against SINGLE_TASK on test rows, of the tasks that JOINT predicts in these rows."""
    known = [task for task in tasks if prediction_column(JOINT, task.name) in predictions.columns]
    measured = (
        compare_joint(predictions, task, "test", (SINGLE_TASK,), bootstrap_samples, seed) for task in known
    )
    return pl.concat([judged, *measured])


def compare_joint(
    predictions: pl.DataFrame, task: Task, split: str, others: Sequence[str], samples: int, seed: int
) -> pl.DataFrame:
    """JOINT against each of the other models in every compared metric: GUARD, `predicted_by` null."""
    models = [JOINT, *others]
    rows = task_rows(predictions, task.name, models, split)
    scores = {model: measured.scores for model, measured in score_models(rows, task.kind, {}).items()}
    compared = compare(rows, task, scores, JOINT, {model: [model] for model in models}, samples, seed)
    return published(GUARD, ({**row, "split": split} for row in compared))
