"""The guard's judgement on validation rows, and what came of it on test rows.

A task leaves the networks for all tasks where these are shown to be worse than its own networks: in the task's headline
metric, with a paired interval. To hedge takes less proof: the mean of both kinds predicts where it is better, in every
compared metric, than what would predict otherwise. In one metric alone, chance can favour a mean with networks that
know nothing of the task, as it can on rows too few for an interval: there nothing is changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl

from mtl_pipeline.evaluation.inference.comparing import compare
from mtl_pipeline.evaluation.inference.intervals import WORSE
from mtl_pipeline.evaluation.studies.frames import COMPARED, published
from mtl_pipeline.evaluation.studies.scoring import in_headline, score_models
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import CANDIDATE, JOINT, MEAN, OWN, SINGLE_TASK, prediction_column, task_rows
from mtl_pipeline.spec import Task

GUARD = (
    *("task", "predicted_by", "split", "metric", "baseline"),
    *(*COMPARED, "candidate_value", "baseline_value"),
)
"""Columns: the differences are those of JOINT, the networks for all tasks alone, minus the baseline."""

RESAMPLES = 500
"""Behind each interval on validation rows. No setting of the report decides which networks are served."""


def judge_members(
    predictions: pl.DataFrame, tasks: Sequence[Task], *, hedge: bool, seed: int
) -> pl.DataFrame:
    """What each task is to be predicted by, going by the models JOINT, OWN and MEAN on validation rows: GUARD. Without
    `hedge`, JOINT stays wherever it is not shown to be worse."""

    def judged(task: Task) -> pl.DataFrame:
        found = compare_joint(predictions, task, "validation", (OWN, MEAN), RESAMPLES, seed)
        return found.with_columns(predicted_by=pl.lit(best(found, task, hedge)))

    return pl.concat(map(judged, tasks))


def best(compared: pl.DataFrame, task: Task, hedge: bool) -> str:
    (against_own,) = in_headline(compared, task).filter(baseline=OWN).to_dicts()
    if math.isnan(against_own["low"]):
        return JOINT
    alone, kind = OWN if against_own["verdict"] == WORSE else JOINT, KINDS[task.kind]
    values: dict[tuple[str, str], float] = {}
    for row in compared.to_dicts():
        sign = 1 if kind.metric(row["metric"]).higher_is_better else -1
        values[JOINT, row["metric"]] = sign * row["candidate_value"]
        values[row["baseline"], row["metric"]] = sign * row["baseline_value"]
    mean_is_better = all(values[MEAN, metric] > values[alone, metric] for metric in kind.compared)
    return MEAN if mean_is_better and (hedge or alone == OWN) else alone


def measure_guard(
    predictions: pl.DataFrame,
    judged: pl.DataFrame,
    tasks: Sequence[Task],
    *,
    bootstrap_samples: int,
    seed: int,
) -> pl.DataFrame:
    """`judged`, and JOINT against SINGLE_TASK on test rows. Where the predictions of JOINT are absent, they are the
    candidate's."""
    columns = {prediction_column(JOINT, task.name): prediction_column(CANDIDATE, task.name) for task in tasks}
    absent = {joint: pl.col(same) for joint, same in columns.items() if joint not in predictions.columns}
    rows = predictions.with_columns(**absent)
    measured = (compare_joint(rows, task, "test", (SINGLE_TASK,), bootstrap_samples, seed) for task in tasks)
    chosen = pl.col("predicted_by").first().over("task")
    return pl.concat([judged, *measured]).with_columns(chosen)


def compare_joint(
    predictions: pl.DataFrame, task: Task, split: str, others: Sequence[str], samples: int, seed: int
) -> pl.DataFrame:
    """JOINT against each of the other models in every compared metric: GUARD, `predicted_by` null."""
    models = [JOINT, *others]
    rows = task_rows(predictions, task.name, models, split)
    scores = {model: measured.scores for model, measured in score_models(rows, task.kind, {}).items()}
    compared = compare(rows, task, scores, JOINT, {model: [model] for model in models}, samples, seed)
    return published(GUARD, ({**row, "split": split} for row in compared))
