"""The test rows on which the model is most wrong: where to look for bad data and for what it cannot know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from mtl_pipeline.evaluation.studies.slices import ITEMS, NEW, USERS
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import as_floats, label_column, prediction_column
from mtl_pipeline.spec import Task

ROWS_SHOWN = 10
MOST_OF_ONE_USER = 2
"""So that one odd user does not fill the list."""


def largest_errors(
    predictions: pl.DataFrame, tasks: Sequence[Task], slices: pl.DataFrame, *, candidate: str
) -> pl.DataFrame:
    """Of each task the ROWS_SHOWN test rows with the largest loss, largest first, at most MOST_OF_ONE_USER of a user.

    Columns: task; place from 1; example_id; user_id, item_id and timestamp where `predictions` has them; `label`;
    `prediction`, after calibration (of a class, the probability of the one that came); `likeliest`, the number of the
    class with the highest probability (null without classes); `loss`: the first of
    its kind's `compared_losses`; `new_user` and `new_item`: not in the training split, by
    the columns User and Item of `slices` (see `read_slices`), null without them.
    """
    found = [worst_rows(predictions, task, candidate) for task in tasks]
    met = slices.select(
        "example_id",
        *(
            (pl.col(kind) == NEW).alias(name)
            if kind in slices.columns
            else pl.lit(None, pl.Boolean).alias(name)
            for name, kind in (("new_user", USERS), ("new_item", ITEMS))
        ),
    )
    return pl.concat(found).join(met, on="example_id", how="left", maintain_order="left")


def worst_rows(predictions: pl.DataFrame, task: Task, candidate: str) -> pl.DataFrame:
    label, prediction = label_column(task.name), prediction_column(candidate, task.name)
    identity = [
        name for name in ("example_id", "user_id", "item_id", "timestamp") if name in predictions.columns
    ]
    rows = predictions.filter(pl.col("split") == "test", pl.col(label).is_not_null()).select(
        *identity, label, prediction
    )
    labels, predicted = as_floats(rows[label]), as_floats(rows[prediction])
    losses = next(iter(KINDS[task.kind].compared_losses(labels, predicted).values()))
    likeliest = None
    if KINDS[task.kind].has_classes:
        likeliest = predicted.argmax(axis=1)
        predicted = predicted[np.arange(len(labels)), labels.astype(np.int64)]
    worst = (
        rows.select(identity)
        .with_columns(
            pl.Series("label", labels, pl.Float64),
            pl.Series("prediction", predicted, pl.Float64),
            pl.Series("likeliest", likeliest, pl.Int64)
            if likeliest is not None
            else pl.lit(None, pl.Int64).alias("likeliest"),
            pl.Series("loss", losses, pl.Float64),
        )
        .sort("loss", "example_id", descending=[True, False])
    )
    if "user_id" in identity:
        worst = worst.filter(pl.int_range(pl.len()).over("user_id") < MOST_OF_ONE_USER)
    worst = worst.head(ROWS_SHOWN)
    return worst.select(
        pl.lit(task.name).alias("task"),
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("place"),
        pl.all(),
    )
