"""Which experts of the joint network each task listens to that it predicts."""

from __future__ import annotations

from operator import itemgetter

import polars as pl

from mtl_pipeline.evaluation.report.document import Cell, Section, Table
from mtl_pipeline.evaluation.studies.scoring import Evaluation

STRONGEST_TINT = 55
"""Percent of the accent colour behind the largest weight: text stays legible on it."""
HOW_TO_READ = (
    "Mean weight of each expert over the task's test rows, a task's weights adding up to 1; ± is their standard "
    "deviation from row to row. Tasks with similar lines share what they learn; a task that leans on an expert which "
    "the others leave alone, or cannot read, keeps something to itself. A task that the joint network does not predict "
    "is left out."
)


def sections(evaluation: Evaluation, experts: pl.DataFrame) -> list[Section]:
    """Nothing without a mixture of two experts or more."""
    if experts["expert"].max() == 1:
        return []
    by_task = [rows.to_dicts() for rows in experts.partition_by("task", maintain_order=True)]
    most = [max(rows, key=itemgetter("weight")) for rows in by_task]
    favourites = "; ".join(f"{task_name(row)} to {expert_name(row)}" for row in most)
    how = f"In the joint network, each task listens most to one expert: {favourites}."
    heads = ["task", *map(expert_name, by_task[0])]
    table = Table(heads, [[task_name(rows[0]), *map(weight_cell, rows)] for rows in by_task])
    details = [Section("Weight of each expert", [HOW_TO_READ], tables=[table])]
    return [Section("Experts", points=[how], details=details)]


def task_name(row: dict) -> str:
    return row["task"] + (" (half of what predicts it)" if row["share"] < 1 else "")


def expert_name(row: dict) -> str:
    return f"expert {row['expert']}" + (f" ({row['owner']} only)" if row["owner"] else "")


def weight_cell(row: dict) -> Cell:
    """Empty where the task cannot read the expert, which is another task's own."""
    if row["owner"] not in (None, row["task"]):
        return Cell("")
    text = f"{row['weight']:.2f} ± {row['standard_deviation']:.2f}"
    return Cell(text, tint=round(STRONGEST_TINT * row["weight"]))
