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
    most = experts.sort("weight", descending=True).unique("task", keep="first", maintain_order=True)
    found = {row["task"]: row for row in most.iter_rows(named=True)}
    names = experts["task"].unique(maintain_order=True)
    clauses = [f"{name} to {expert_name(found[name])}" for name in names]
    return f"Each task listens most to one expert: {'; '.join(clauses)}."


def expert_name(row: dict) -> str:
    return f"expert {row['expert']}" + (f" ({row['owner']} only)" if row["owner"] else "")


def experts_table(experts: pl.DataFrame) -> Table:
    """Empty where a task cannot read the expert, which is another task's own."""
    by_task = experts.partition_by("task", maintain_order=True)
    return Table(
        ["task", *map(expert_name, by_task[0].to_dicts())],
        [[rows["task"][0], *map(weight_cell, rows.to_dicts())] for rows in by_task],
    )


def weight_cell(row: dict) -> Cell:
    if row["owner"] not in (None, row["task"]):
        return Cell("")
    return Cell(
        f"{row['weight']:.2f} ± {row['standard_deviation']:.2f}", tint=round(STRONGEST_TINT * row["weight"])
    )
