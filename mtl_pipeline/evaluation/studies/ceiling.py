"""The ceiling: a simulator's true probabilities as one more model, the best possible."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from mtl_pipeline.errors import UserError
from mtl_pipeline.predictions import CEILING, label_column, prediction_column
from mtl_pipeline.spec import Task

LOG = logging.getLogger(__name__)


def with_ceiling(
    predictions: pl.DataFrame, truth: Path, key: Sequence[str], tasks: Sequence[Task]
) -> pl.DataFrame:
    """The wide frame with `prediction/ceiling/<task>` for each task that `truth` knows, row for row.

    `truth` is a Parquet file with the columns of `key` and one per task. A task is left out, with a warning, when an
    observed row has no truth. Raises UserError when a key is missing, repeated or of another type.
    """
    known = pl.read_parquet(truth)
    for place, columns in ((str(truth), known.columns), ("the predictions", predictions.columns)):
        if missing := [column for column in key if column not in columns]:
            raise UserError(
                f"{place}: no column {', '.join(missing)}, so rows and their truth cannot be brought together; "
                "simulate the data again, or remove the file to go without a ceiling"
            )
    named = [task for task in tasks if task.name in known.columns]
    truths = known.select(*key, *(pl.col(task.name).alias(ceiling_column(task)) for task in named))
    try:
        types = [pl.col(column).cast(predictions.schema[column]) for column in key]
        joined = predictions.join(
            truths.with_columns(types), on=list(key), how="left", validate="m:1", maintain_order="left"
        )
    except (pl.exceptions.ComputeError, pl.exceptions.InvalidOperationError) as error:
        raise UserError(
            f"{truth}: {', '.join(key)} must identify a row and be of the predictions' types ({error}); "
            "simulate the data again"
        ) from error
    for task in named:
        lost = joined.filter(
            pl.col(label_column(task.name)).is_not_null() & pl.col(ceiling_column(task)).is_null()
        )
        if lost.height:
            LOG.warning(
                "task %s has no ceiling: %d observed rows find no truth in %s (first: example_id %s)",
                task.name,
                lost.height,
                truth,
                lost["example_id"][0],
            )
            joined = joined.drop(ceiling_column(task))
    return joined


def ceiling_column(task: Task) -> str:
    return prediction_column(CEILING, task.name)
