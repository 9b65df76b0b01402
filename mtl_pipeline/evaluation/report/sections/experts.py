"""Which experts each task listens to."""

from __future__ import annotations

import polars as pl

from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Cell, Section, Table
from mtl_pipeline.evaluation.studies.scoring import Evaluation

STRONGEST_TINT = 55
"""Percent of the accent colour behind the largest weight: text stays legible on it."""
HOW_TO_READ = (
    "Mean weight of each expert over the task's test rows, a task's weights adding up to 1; ± is their standard "
    "deviation from row to row. Tasks with similar lines share what they learn; a task that leans on an expert which "
    "the others leave alone, or cannot read, keeps something to itself."
)


def sections(evaluation: Evaluation, context: ReportContext) -> list[Section]:
    """Nothing without a mixture of two experts or more."""
    experts = context.part("experts")
    if experts is None or experts["expert"].max() == 1:
        return []
    details = [Section("Weight of each expert", [HOW_TO_READ], tables=[experts_table(experts)])]
    return [Section("Experts", points=[favourites(experts)], details=details)]


def favourites(experts: pl.DataFrame) -> str:
    """'watched listens most to expert 1; liked to expert 2 (its own).'"""
    most = [rows.row(rows["weight"].arg_max() or 0, named=True) for rows in by_task(experts)]
    clauses = [f"{row['task']} to {expert_name(row)}" for row in most]
    return f"Each task listens most to one expert: {'; '.join(clauses)}."


def by_task(experts: pl.DataFrame) -> list[pl.DataFrame]:
    return experts.partition_by("task", maintain_order=True)


def expert_name(row: dict) -> str:
    return f"expert {row['expert']}" + (f" ({row['owner']} only)" if row["owner"] else "")


def experts_table(experts: pl.DataFrame) -> Table:
    """Empty where a task cannot read the expert, which is another task's own."""
    heads = ["task", *map(expert_name, by_task(experts)[0].to_dicts())]
    return Table(heads, [[rows["task"][0], *map(weight_cell, rows.to_dicts())] for rows in by_task(experts)])


def weight_cell(row: dict) -> Cell:
    if row["owner"] not in (None, row["task"]):
        return Cell("")
    text = f"{row['weight']:.2f} ± {row['standard_deviation']:.2f}"
    return Cell(text, tint=round(STRONGEST_TINT * row["weight"]))
