"""Ranked lists in the report: a table for each list, in HTML and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from mtl_pipeline.evaluation.formatting import arrow, format_difference
from mtl_pipeline.evaluation.report.markdown import escape, markdown_table, model_name
from mtl_pipeline.evaluation.report.tables import MetricsTable, side_by_side
from mtl_pipeline.evaluation.report.wording import ComparisonLine
from mtl_pipeline.evaluation.studies.ranked_lists import LIST_METRICS
from mtl_pipeline.metrics.metric import Score
from mtl_pipeline.predictions import CEILING

LOGGED_ONLY = (
    "Each user's test rows are put in the order of a model's predictions. They are what was logged or sampled, not the "
    "whole catalogue: compare models within this report, not with other data. Users without a hit are left out; ties "
    "stand in a random order, the same for every model."
)


@dataclass(frozen=True)
class ListTable:
    name: str
    """'watched → liked'."""
    users: int
    rows: int
    table: MetricsTable
    comparisons: list[ComparisonLine]
    """By the first metric."""


def list_tables(ranking: pl.DataFrame, candidate: str) -> list[ListTable]:
    """One for each list of the frame of `measure_ranking`."""
    return [list_table(frame, candidate) for frame in ranking.partition_by("list", maintain_order=True)]


def list_table(frame: pl.DataFrame, candidate: str) -> ListTable:
    models = frame["model"].unique(maintain_order=True).to_list()
    values = {(row["model"], row["metric"]): row["value"] for row in frame.iter_rows(named=True)}
    columns = [[Score(values[model, metric.name]) for model in models] for metric in LIST_METRICS]
    first = frame.filter(
        pl.col("metric") == LIST_METRICS[0].name, ~pl.col("model").is_in([candidate, CEILING])
    )
    return ListTable(
        name=frame["list"][0],
        users=frame["users"][0],
        rows=frame["rows"][0],
        table=side_by_side(models, LIST_METRICS, columns, {}),
        comparisons=[comparison(row) for row in first.iter_rows(named=True) if row["difference"] is not None],
    )


def comparison(row: dict) -> ComparisonLine:
    low, high = (np.nan if row[end] is None else row[end] for end in ("difference_low", "difference_high"))
    difference, interval = format_difference(row["difference"], low, high)
    metric = LIST_METRICS[0]
    return ComparisonLine(
        baseline=row["model"],
        metric=metric.label,
        arrow=arrow(metric.higher_is_better),
        verdict=row["verdict"],
        difference=difference,
        interval=interval,
        note=row["note"] or "",
    )


def ranking_markdown(ranking: pl.DataFrame, candidate: str) -> str:
    """A table for each list; empty where there are none."""
    parts = [LOGGED_ONLY]
    for found in list_tables(ranking, candidate):
        heads = [f"{metric.label} {arrow(metric.higher_is_better)}" for metric in found.table.metrics]
        differences = {line.baseline: f"{line.difference} {line.interval}" for line in found.comparisons}
        rows = [
            [
                model_name(row.model),
                *(f"**{cell.text}**" if cell.best else cell.text for cell in row.cells),
                differences.get(row.model, ""),
            ]
            for row in found.table.rows
        ]
        parts += [
            f"### {escape(found.name)}: lists of {found.users:,} users, {found.rows:,} rows",
            markdown_table(["model", *heads, f"{escape(candidate)} minus it, {LIST_METRICS[0].label}"], rows),
        ]
    return "\n\n".join(parts) if len(parts) > 1 else ""
