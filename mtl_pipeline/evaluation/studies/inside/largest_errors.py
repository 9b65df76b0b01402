"""The test rows on which the model is most wrong: where to look for bad data and for what it cannot know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from mtl_pipeline.evaluation.studies.inside.slices import ITEMS, NEW, USERS
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import as_floats, label_column, prediction_column
from mtl_pipeline.spec import Task

IDENTITY = ("example_id", "user_id", "item_id", "timestamp")
ROWS_SHOWN = 10
MOST_OF_ONE_USER = 2
"""So that one odd user does not fill the list."""


def largest_errors(
    predictions: pl.DataFrame, tasks: Sequence[Task], slices: pl.DataFrame, *, candidate: str
) -> pl.DataFrame:
    """For each task the ROWS_SHOWN test rows with the largest loss, largest first, at most MOST_OF_ONE_USER of a user.

    `place` counts from 1; `prediction` is what the model says after calibration, for classes the probability of the
    true one; `likeliest` the number of the most probable class (null without classes); `loss` the first of the
    kind's `compared_losses`; `new_user` and `new_item`: not in the training split, by the columns User and Item of
    `slices` (see `slices_of`), null without them. user_id, item_id and timestamp as far as `predictions` has them.
    """
    absent = {kind: pl.lit(None, pl.String) for kind in (USERS, ITEMS) if kind not in slices.columns}
    new = slices.with_columns(**absent).select(
        "example_id", new_user=pl.col(USERS) == NEW, new_item=pl.col(ITEMS) == NEW
    )
    worst = pl.concat([worst_rows(predictions, task, candidate) for task in tasks])
    return worst.join(new, on="example_id", how="left", maintain_order="left")


def worst_rows(predictions: pl.DataFrame, task: Task, candidate: str) -> pl.DataFrame:
    kind, columns = KINDS[task.kind], (label_column(task.name), prediction_column(candidate, task.name))
    known = [name for name in IDENTITY if name in predictions.columns]
    test = predictions.lazy().filter(pl.col("split") == "test", pl.col(columns[0]).is_not_null())
    rows = test.select(*known, *columns).collect()
    labels, predicted = (as_floats(rows[column]) for column in columns)
    losses = next(iter(kind.compared_losses(labels, predicted).values()))
    likeliest: pl.Series | pl.Expr = pl.lit(None, pl.Int64).alias("likeliest")
    if kind.has_classes:
        likeliest = pl.Series("likeliest", predicted.argmax(axis=1), pl.Int64)
        predicted = predicted[np.arange(len(labels)), labels.astype(np.int64)]
    worst = rows.select(
        *known,
        pl.Series("label", labels, pl.Float64),
        pl.Series("prediction", predicted, pl.Float64),
        likeliest,
        pl.Series("loss", losses, pl.Float64),
    ).sort("loss", "example_id", descending=[True, False])
    if "user_id" in known:
        worst = worst.filter(pl.int_range(pl.len()).over("user_id") < MOST_OF_ONE_USER)
    place = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("place")
    return worst.head(ROWS_SHOWN).select(pl.lit(task.name).alias("task"), place, pl.all())
