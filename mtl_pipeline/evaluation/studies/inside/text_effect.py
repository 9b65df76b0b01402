"""What the text vectors bring: the multi-task network with them against the same network without, over the same seeds.

All test rows; then those of cold items, of which training has no interaction, so that only text and features can say
anything about them; and those of the others. Scored and resampled as slices are (see `slice_scores`), over seeds as
well (see `seeds`).
"""

from __future__ import annotations

import polars as pl

from mtl_pipeline.evaluation.studies.frames import published
from mtl_pipeline.evaluation.studies.inside.slice_scores import compare_in_slices, membership, observed_rows
from mtl_pipeline.evaluation.studies.runs.seeds import SeedRuns
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.predictions import WITHOUT_TEXT, label_column
from mtl_pipeline.spec import Task

ALL_ROWS, COLD_ITEMS, OTHER_ITEMS = "all test rows", "cold items", "other items"
PARTS = pl.Enum([ALL_ROWS, COLD_ITEMS, OTHER_ITEMS])

TEXT = (
    *(
        "task",
        "part",
        "metric",
        "rows",
        "users",
        "items",
        "positives",
        "mean_label",
        "with_text",
        "without_text",
    ),
    *("difference", "low", "high", "verdict", "seeds", "note"),
)


def measure_text(evaluation: Evaluation, seed_runs: SeedRuns, cold: pl.DataFrame) -> pl.DataFrame:
    """The published frame `text`: a row for each task, part of the test rows and compared metric; empty without
    networks that were trained without text. `cold` is the frame of `cold_of`.

    Values are means over the seeds, differences those with text minus without. What is null or NaN, see
    `compare_in_slices`.
    """
    if WITHOUT_TEXT not in seed_runs.models:
        return published(TEXT)
    test = seed_runs.predictions.filter(pl.col("split") == "test")
    parts = test.select("example_id").join(
        parts_of_rows(cold), on="example_id", how="left", maintain_order="left"
    )["part"]
    rows: list[dict] = []
    for task in evaluation.tasks:
        observed = test[label_column(task.name)].is_not_null()
        if observed.any():
            rows += measure_task(evaluation, seed_runs, task, test.filter(observed), parts.filter(observed))
    return published(TEXT, rows)


def parts_of_rows(cold: pl.DataFrame) -> pl.DataFrame:
    """example_id and `part`, a list: all test rows, and where there are items the cold ones or the others."""
    every = pl.lit(ALL_ROWS, dtype=PARTS)
    if "cold" not in cold.columns:
        return cold.select("example_id", part=pl.concat_list(every))
    item = pl.when("cold").then(pl.lit(COLD_ITEMS)).otherwise(pl.lit(OTHER_ITEMS)).cast(PARTS)
    return cold.select("example_id", part=pl.concat_list(every, item))


def measure_task(
    evaluation: Evaluation, seed_runs: SeedRuns, task: Task, observed: pl.DataFrame, parts: pl.Series
) -> list[dict]:
    """Rows of the published frame."""
    fits = {model: seed_runs.fits(model) for model in (evaluation.candidate, WITHOUT_TEXT)}
    rows = observed_rows(observed, task, [fit for own in fits.values() for fit in own], evaluation.seed)
    items = count_items(observed, parts)
    return [
        row
        | {
            "part": row["slice"],
            "items": items.get(row["slice"]),
            "with_text": row["value"],
            "without_text": row.get("baseline_value"),
            "seeds": len(seed_runs.seeds),
        }
        for row in compare_in_slices(rows, membership(parts), task, fits, evaluation)
    ]


def count_items(frame: pl.DataFrame, parts: pl.Series) -> dict[str, int]:
    """Distinct items by part; empty where there are none."""
    if "item_id" not in frame.columns:
        return {}
    by_part = frame.select("item_id", parts.alias("part")).explode("part").group_by("part")
    return dict(by_part.agg(pl.col("item_id").n_unique()).with_columns(pl.col("part").cast(pl.String)).rows())
