"""Permutation importance of groups of features, from what the model predicts with each of them shuffled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import as_floats, label_column, plain_prediction_column
from mtl_pipeline.spec import Task

IMPORTANCE_SCHEMA = {
    "task": pl.String,
    "metric": pl.String,
    "family": pl.String,
    "group": pl.String,
    "is_family": pl.Boolean,
    "importance": pl.Float64,
    "spread": pl.Float64,
    "score": pl.Float64,
    "permutations": pl.Int64,
    "rows": pl.Int64,
}


def measure_importance(permuted: Iterable[pl.DataFrame], tasks: Sequence[Task]) -> pl.DataFrame:
    """One row per task and group: how much of the task's headline metric is lost with the group shuffled.

    `permuted`: frames with `label/<task>` and `prediction/<task>` of some of the tasks, and `group`, `family` and
    `is_family`, the same in every row; where `group` is null, nothing was shuffled. Each group may come several times.
    Columns: `importance`, the mean loss over a group's permutations, above zero where the model is worse without it
    (a fall of ROC-AUC or a rise of an error); `spread`, its standard deviation from permutation to permutation;
    `score`, the metric with nothing shuffled. NaN where the rows cannot define the metric.
    """
    scores = [row for frame in permuted for row in headline_scores(frame, tasks)]
    measured = pl.DataFrame(
        scores, schema=["task", "family", "group", "is_family", "value", "rows"], orient="row"
    )
    order, metrics = (
        pl.Enum([task.name for task in tasks]),
        {task.name: KINDS[task.kind].headline for task in tasks},
    )
    if measured.is_empty():
        return pl.DataFrame(schema=IMPORTANCE_SCHEMA)
    intact = measured.filter(pl.col("group").is_null()).select("task", score="value")
    falls = pl.col("task").replace_strict(
        {name: 1.0 if metric.higher_is_better else -1.0 for name, metric in metrics.items()}
    )
    return (
        measured.filter(pl.col("group").is_not_null())
        .join(intact, on="task", maintain_order="left")
        .with_columns(
            lost=(pl.col("score") - pl.col("value")) * falls,
            metric=pl.col("task").replace_strict({name: metric.name for name, metric in metrics.items()}),
        )
        .group_by("task", "metric", "family", "group", "is_family", maintain_order=True)
        .agg(
            importance=pl.col("lost").mean(),
            spread=pl.col("lost").std().fill_null(0.0),
            score=pl.col("score").first(),
            permutations=pl.len().cast(pl.Int64),
            rows=pl.col("rows").first().cast(pl.Int64),
        )
        .sort(pl.col("task").cast(order), maintain_order=True)
        .select(list(IMPORTANCE_SCHEMA))
        .cast(IMPORTANCE_SCHEMA)  # type: ignore[arg-type]
    )


def headline_scores(frame: pl.DataFrame, tasks: Sequence[Task]) -> list[tuple]:
    """Of each task of the frame its name, the frame's group and the value of the task's headline metric."""
    group = frame.select("family", "group", "is_family").row(0) if len(frame) else None
    return [
        (
            task.name,
            *group,
            score(task, as_floats(labels), as_floats(frame[plain_prediction_column(task.name)])),
            len(frame),
        )
        for task in tasks
        if group and (labels := frame.get_column(label_column(task.name), default=None)) is not None
    ]


def score(task: Task, labels: np.ndarray, predicted: np.ndarray) -> float:
    """The headline metric of at least one row."""
    headline = KINDS[task.kind].headline.name
    return KINDS[task.kind].values(labels, predicted, [headline])[headline]
