"""What the model would show to a few real users, beside what they liked before: for a person to judge."""

from __future__ import annotations

import polars as pl

from mtl_pipeline.evaluation.formatting import MISSING, shortened
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Cell, Section, Table
from mtl_pipeline.evaluation.studies.people import ITEMS_SHOWN
from mtl_pipeline.evaluation.studies.scoring import Evaluation

LONGEST_TEXT = 60


def sections(evaluation: Evaluation, context: ReportContext) -> list[Section]:
    people = context.part("people")
    if people is None:
        return []
    goal = people["goal"][0]
    how = (
        f"On the left the last {ITEMS_SHOWN} items of the training rows where {goal} happened; on the right those of "
        f"the user's test rows that {evaluation.candidate} puts first, with the probability of {goal}, and whether it "
        "happened. Users are drawn by chance among those with enough of both."
    )
    return [Section("Some users", [how], tables=[people_table(people)])]


def people_table(people: pl.DataFrame) -> Table:
    """Of the frame of `lists_of_people`, with or without `item_text`."""
    rows: list[list[Cell | str]] = []
    for lists in people.partition_by("user_id", maintain_order=True):
        before, top = (lists.filter(part=part).to_dicts() for part in ("before", "top"))
        for place in range(max(len(before), len(top))):
            liked = before[place] if place < len(before) else None
            shown = top[place] if place < len(top) else None
            rows.append(
                [
                    str(lists["user_id"][0]) if place == 0 else "",
                    item_name(liked),
                    item_name(shown),
                    f"{shown['prediction']:.3f}" if shown else "",
                    outcome(shown),
                ]
            )
    return Table(["user", "liked before", "put first in the test rows", "probability", "happened"], rows)


def item_name(row: dict | None) -> str:
    if row is None:
        return ""
    text = row.get("item_text") or str(row["item_id"])
    return shortened(text, LONGEST_TEXT)


def outcome(row: dict | None) -> Cell:
    if row is None or row["label"] is None:
        return Cell("" if row is None else MISSING)
    return Cell("✓", "better") if row["label"] == 1 else Cell("")
