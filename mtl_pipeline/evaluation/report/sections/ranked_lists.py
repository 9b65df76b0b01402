"""The test rows of each user as a list, in the order of each model's predictions."""

from __future__ import annotations

import polars as pl

from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Section, Table
from mtl_pipeline.evaluation.report.tables import model_table
from mtl_pipeline.evaluation.report.wording import marked
from mtl_pipeline.evaluation.studies.ranked_lists import LIST_METRICS
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.metrics.metric import Score

LOGGED_ONLY = (
    "Each user's test rows are put in the order of a model's predictions. They are what was logged or sampled, not the "
    "whole catalogue: compare models within this report, not with other data. Users without a hit are left out; ties "
    "stand in a random order, the same for every model."
)


def sections(evaluation: Evaluation, context: ReportContext) -> list[Section]:
    ranking = context.part("ranking")
    if ranking is None:
        return []
    frames = ranking.partition_by("list", maintain_order=True)
    tables = [list_table(frame, evaluation.candidate) for frame in frames]
    return [Section("Ranked lists", [LOGGED_ONLY], tables=tables)]


def list_table(frame: pl.DataFrame, candidate: str) -> Table:
    """Of one list of the frame of `measure_ranking`; compared by the first metric."""
    first = frame.filter(pl.col("metric") == LIST_METRICS[0].name)
    notes = first["note"].drop_nulls().unique(maintain_order=True)
    return model_table(
        frame["model"].unique(maintain_order=True).to_list(),
        LIST_METRICS,
        {(row["model"], row["metric"]): Score(row["value"]) for row in frame.iter_rows(named=True)},
        candidate=candidate,
        title=f"{frame['list'][0]}: lists of {frame['users'][0]:,} users with a hit, {frame['rows'][0]:,} rows",
        notes=[note for note in notes if note],
        more={
            f"{candidate} minus it, {LIST_METRICS[0].label}": {
                row["model"]: marked(
                    row["difference"], row["difference_low"], row["difference_high"], row["verdict"]
                )
                for row in first.drop_nulls("difference").iter_rows(named=True)
            }
        },
    )
