"""Permutation importance of groups of features, from what the model predicts with each of them shuffled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from mtl_pipeline.evaluation.studies.frames import published
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import as_floats, label_column, plain_prediction_column
from mtl_pipeline.spec import Task

GROUP = ("task", "metric", "family", "group", "is_family")
IMPORTANCE = (*GROUP, "importance", "spread", "score", "permutations", "rows")


def measure_importance(permuted: Iterable[pl.DataFrame], tasks: Sequence[Task]) -> pl.DataFrame:
    """One row per task and group: how much of the task's headline metric is lost with the group shuffled.

    `permuted`: frames with `label/<task>` and `prediction/<task>` of some of the tasks, and `group`, `family` and
    `is_family`, the same in every row; where `group` is null, nothing was shuffled. Each group may come several times.
    `importance` is the mean loss over a group's permutations, above zero where the model is worse without it (ROC-AUC
    falls or an error rises); `spread` its standard deviation from permutation to permutation; `score` the metric with
    nothing shuffled. NaN where the rows cannot define the metric.
    """
    headlines = {task.name: KINDS[task.kind].headline for task in tasks}
    scores = published(
        (*IMPORTANCE, "value"), (row for rows in permuted for row in headline_scores(rows, tasks))
    )
    if scores.is_empty():
        return published(IMPORTANCE)
    sign = {name: 1.0 if headline.higher_is_better else -1.0 for name, headline in headlines.items()}
    intact = scores.filter(pl.col("group").is_null()).select("task", intact="value")
    importance = (
        scores.filter(pl.col("group").is_not_null())
        .join(intact, on="task", maintain_order="left")
        .with_columns(lost=(pl.col("intact") - pl.col("value")) * pl.col("task").replace_strict(sign))
        .group_by(GROUP, maintain_order=True)
        .agg(
            importance=pl.col("lost").mean(),
            spread=pl.col("lost").std().fill_null(0.0),
            score=pl.col("intact").first(),
            permutations=pl.len().cast(pl.Int64),
            rows=pl.col("rows").first(),
        )
    )
    return importance.sort(pl.col("task").cast(pl.Enum(list(headlines))), maintain_order=True)


def headline_scores(rows: pl.DataFrame, tasks: Sequence[Task]) -> Iterator[dict]:
    """The value of the headline metric of each task in the frame."""
    for task in tasks:
        label = label_column(task.name)
        if rows.height and label in rows.columns:
            kind, headline = KINDS[task.kind], KINDS[task.kind].headline.name
            labels, predicted = (
                as_floats(rows[name]) for name in (label, plain_prediction_column(task.name))
            )
            yield {
                **rows.select("family", "group", "is_family").row(0, named=True),
                "task": task.name,
                "metric": headline,
                "value": kind.values(labels, predicted, [headline])[headline],
                "rows": rows.height,
            }
