"""What the text vectors bring: the multi-task network with them against the same network without, over the same seeds.

All test rows, and apart those of cold items, with which training has no interaction, so that only text and features
can say anything of them, and those of the others. Scored and resampled as slices are (see `slice_scores`), over seeds
too (see `seeds`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import polars as pl

from mtl_pipeline.evaluation.inference import intervals
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.evaluation.studies.seeds import SeedRuns, resample_seeds
from mtl_pipeline.evaluation.studies.slice_scores import (
    MOST_SAMPLES,
    membership,
    observed_rows,
    paired,
    slice_sizes,
    slice_statistics,
)
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import WITHOUT_TEXT, label_column, prediction_column
from mtl_pipeline.spec import Task

ALL_ROWS, COLD_ITEMS, OTHER_ITEMS = "all test rows", "cold items", "other items"
PARTS = pl.Enum([ALL_ROWS, COLD_ITEMS, OTHER_ITEMS])

TEXT_SCHEMA = {
    "task": pl.String,
    "part": pl.String,
    "metric": pl.String,
    "rows": pl.Int64,
    "users": pl.Int64,
    "items": pl.Int64,
    "positives": pl.Int64,
    "mean_label": pl.Float64,
    "with_text": pl.Float64,
    "without_text": pl.Float64,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "verdict": pl.String,
    "seeds": pl.Int64,
    "note": pl.String,
}


def measure_text(evaluation: Evaluation, seed_runs: SeedRuns, cold: pl.DataFrame) -> pl.DataFrame:
    """The published frame `text`: a row for each task, part of the test rows and compared metric; empty without
    networks that were trained without text. `cold` is the frame of `read_cold`.

    Values are means over the seeds, differences those with text minus without. What is null or NaN and why is as in
    the frame of `measure_slices`.
    """
    if WITHOUT_TEXT not in seed_runs.models:
        return pl.DataFrame(schema=TEXT_SCHEMA)
    test = seed_runs.predictions.filter(pl.col("split") == "test")
    parts = test.select("example_id").join(
        parts_of_rows(cold), on="example_id", how="left", maintain_order="left"
    )["part"]
    found: list[dict] = []
    for task in evaluation.tasks:
        observed = test[label_column(task.name)].is_not_null()
        if observed.any():
            found += measure_task(evaluation, seed_runs, task, test.filter(observed), parts.filter(observed))
    return pl.DataFrame(found, schema=TEXT_SCHEMA)


def parts_of_rows(cold: pl.DataFrame) -> pl.DataFrame:
    """example_id and `part`, a list: all test rows, and where there are items the cold ones or the others."""
    every = pl.lit(ALL_ROWS, dtype=PARTS)
    if "cold" not in cold.columns:
        return cold.select("example_id", part=pl.concat_list(every))
    item = pl.when("cold").then(pl.lit(COLD_ITEMS)).otherwise(pl.lit(OTHER_ITEMS)).cast(PARTS)
    return cold.select("example_id", part=pl.concat_list(every, item))


def measure_task(
    evaluation: Evaluation, seed_runs: SeedRuns, task: Task, observed: pl.DataFrame, parts: pl.Series
) -> Iterator[dict]:
    """Rows of the published frame."""
    ours, theirs = seed_runs.fits(evaluation.candidate), seed_runs.fits(WITHOUT_TEXT)
    columns = [prediction_column(fit, task.name) for fit in (*ours, *theirs)]
    known = [column for column in ("user_id", "item_id") if column in observed.columns]
    frame = observed.select(*known, label_column(task.name), *columns)
    rows = observed_rows(frame, task, [*ours, *theirs], evaluation.seed)
    members = membership(parts)
    values, statistics = slice_statistics(rows, members)
    samples = min(evaluation.bootstrap_samples, MOST_SAMPLES)
    resampled = intervals.resample(statistics, rows.group_count, samples, evaluation.seed)
    cluster = "row" if rows.users is None else "user"
    sizes = slice_sizes(rows, members, task)
    items = count_items(frame, parts)
    for (part, size), name in itertools.product(
        zip(members.names, sizes, strict=True), KINDS[task.kind].compared
    ):
        scored: dict = {"with_text": math.nan, "note": size.why_not_scored}
        if not size.why_not_scored:
            with_text, without = (
                float(np.mean([values[part, fit, name] for fit in fits])) for fits in (ours, theirs)
            )
            differences = np.stack(
                [
                    resampled[part, a, name] - resampled[part, b, name]
                    for a, b in zip(ours, theirs, strict=True)
                ]
            )
            scored = {
                "with_text": with_text,
                "without_text": without,
                "difference": with_text - without,
                **paired(
                    resample_seeds(differences, evaluation.seed, intervals.expanded_quantile(size.clusters)),
                    np.zeros(samples),
                    KINDS[task.kind].metric(name),
                    size.clusters,
                    cluster,
                ),
            }
        counted = {"task": task.name, "part": part, "metric": name, "items": items.get(part)}
        yield counted | size.columns(task) | scored | {"seeds": len(seed_runs.seeds)}


def count_items(frame: pl.DataFrame, parts: pl.Series) -> dict[str, int]:
    """Distinct items by part; empty where there are none."""
    if "item_id" not in frame.columns:
        return {}
    by_part = frame.select("item_id", parts.alias("part")).explode("part").group_by("part")
    return dict(by_part.agg(pl.col("item_id").n_unique()).with_columns(pl.col("part").cast(pl.String)).rows())
