"""Which experts of the joint network each task listens to that it predicts, and which of them have collapsed."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import polars as pl

from mtl_pipeline.evaluation.formatting import percent
from mtl_pipeline.evaluation.report.document import Cell, Section, Table
from mtl_pipeline.evaluation.studies.scoring import Evaluation

STRONGEST_TINT = 55
"""Percent of the accent colour behind the largest weight: text stays legible on it."""
HOW_TO_READ = (
    "Mean weight of each expert over the task's test rows, a task's weights adding up to 1; ± is their standard "
    "deviation from row to row. Tasks with similar lines share what they learn; a task that leans on an expert which "
    "the others leave alone, or cannot read, keeps something to itself. A task that the joint network does not predict "
    "is left out. Units say nothing that are zero on nearly all of these rows, or hardly change from row to row: an "
    "expert full of them has collapsed, and its weight is wasted (model.expert_normalisation: batch is made against "
    "that)."
)
COLLAPSED = 0.9
"""Share of an expert's units that say nothing, from which on it is named."""


def sections(evaluation: Evaluation, experts: pl.DataFrame) -> list[Section]:
    """Nothing without a mixture of two experts or more."""
    if experts["expert"].max() == 1:
        return []
    by_task = [rows.to_dicts() for rows in experts.partition_by("task", maintain_order=True)]
    most = [max(rows, key=itemgetter("weight")) for rows in by_task]
    favourites = "; ".join(f"{task_name(row)} to {expert_name(row)}" for row in most)
    how = f"In the joint network, each task listens most to one expert: {favourites}."
    dead = [dead_of(of_expert) for of_expert in zip(*by_task, strict=True)]
    names = [*map(expert_name, by_task[0])]
    collapsed = [name for name, share in zip(names, dead, strict=True) if share >= COLLAPSED]
    points = [how, *([f"Collapsed: {', '.join(collapsed)}."] if collapsed else [])]
    lines: list[list[Cell | str]] = [[task_name(rows[0]), *map(weight_cell, rows)] for rows in by_task]
    table = Table(["task", *names], [*lines, ["units that say nothing", *map(percent, dead)]])
    details = [Section("Weight of each expert", [HOW_TO_READ], tables=[table])]
    return [Section("Experts", points=points, details=details)]


def dead_of(of_expert: Sequence[dict]) -> float:
    """The share of units that say nothing to any task that reads the expert. `of_expert`: its rows, one for each."""
    return min(row["dead"] for row in [row for row in of_expert if row["weight"] > 0] or of_expert)


def task_name(row: dict) -> str:
    return row["task"] + (" (half of what predicts it)" if row["share"] < 1 else "")


def expert_name(row: dict) -> str:
    return f"expert {row['expert']}" + (f" ({row['owner']}'s own)" if row["owner"] else "")


def weight_cell(row: dict) -> Cell:
    """Empty where the task cannot read the expert, which is another task's own."""
    if row["owner"] not in (None, row["task"]) and row["weight"] == 0:
        return Cell("")
    text = f"{row['weight']:.2f} ± {row['standard_deviation']:.2f}"
    return Cell(text, tint=round(STRONGEST_TINT * row["weight"]))
