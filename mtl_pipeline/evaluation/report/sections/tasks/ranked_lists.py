"""The test rows of each user as a list, in the order of each model's predictions."""

from __future__ import annotations

import polars as pl

from mtl_pipeline.evaluation.report.document import Section, Table
from mtl_pipeline.evaluation.report.tables import model_table
from mtl_pipeline.evaluation.report.wording import marked
from mtl_pipeline.evaluation.studies.lists.ranked_lists import LIST_METRICS
from mtl_pipeline.evaluation.studies.scoring import Evaluation

LOGGED_ONLY = (
    "Each user's test rows are put in the order of a model's predictions. They are what was logged or sampled, not the "
    "whole catalogue: compare models within this report, not with other data. Users without a hit are left out; ties "
    "stand in a random order, the same for every model."
)


def sections(evaluation: Evaluation, ranking: pl.DataFrame) -> list[Section]:
    frames = ranking.partition_by("list", maintain_order=True)
    tables = [list_table(frame, evaluation.candidate) for frame in frames]
    return [Section("Ranked lists", [LOGGED_ONLY], tables=tables)]


def list_table(frame: pl.DataFrame, candidate: str) -> Table:
    """Of one list of the frame of `measure_ranking`; compared by the first metric."""
    first = frame.filter(metric=LIST_METRICS[0].name)
    differences = {
        row["model"]: marked(row, ("difference_low", "difference_high"))
        for row in first.drop_nulls("difference").iter_rows(named=True)
    }
    return model_table(
        frame,
        LIST_METRICS,
        candidate=candidate,
        title=f"{frame['list'][0]}: lists of {frame['users'][0]:,} users with a hit, {frame['rows'][0]:,} rows",
        notes=[note for note in first["note"].unique(maintain_order=True) if note],
        more={f"{candidate} minus it, {LIST_METRICS[0].label}": differences},
    )
