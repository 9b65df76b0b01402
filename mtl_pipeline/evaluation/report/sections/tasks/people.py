"""What the model would show to a few real users, beside what they liked before: for a person to judge."""

from __future__ import annotations

from itertools import zip_longest

import polars as pl

from mtl_pipeline.evaluation.formatting import MISSING, shortened
from mtl_pipeline.evaluation.report.document import Cell, Section, Table
from mtl_pipeline.evaluation.studies.lists.people import ITEMS_SHOWN
from mtl_pipeline.evaluation.studies.scoring import Evaluation

LONGEST_TEXT = 60


def sections(evaluation: Evaluation, people: pl.DataFrame) -> list[Section]:
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
    for (user,), lists in people.partition_by("user_id", maintain_order=True, as_dict=True).items():
        before, top = (lists.filter(part=part).to_dicts() for part in ("before", "top"))
        for place, (liked, shown) in enumerate(zip_longest(before, top)):
            name = "" if place else str(user)
            top_cells = shown_cells(shown) if shown else ["", "", ""]
            rows.append([name, item_name(liked) if liked else "", *top_cells])
    return Table(["user", "liked before", "put first in the test rows", "probability", "happened"], rows)


def item_name(row: dict) -> str:
    return shortened(row.get("item_text") or str(row["item_id"]), LONGEST_TEXT)


def shown_cells(row: dict) -> list[Cell | str]:
    outcomes: dict[float | None, Cell | str] = {None: MISSING, 1: Cell("✓", "better")}
    return [item_name(row), f"{row['prediction']:.3f}", outcomes.get(row["label"], "")]
