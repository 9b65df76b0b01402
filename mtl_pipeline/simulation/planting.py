"""Dirty rows: copies of good rows with one defect each, beside the good ones, in known numbers."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice

import numpy as np

from mtl_pipeline.simulation.exposure import DEVICES

DIRTY_SHARE = 0.004
NOBODY = "2000000000"
"""An id that no user and no item has."""


@dataclass(frozen=True)
class Defect:
    """One way to spoil a row, and what rejected_rows has to say about it."""

    column: str | None
    reason: str
    changes: Mapping[str, str] = field(default_factory=dict)
    """Values to write, by column of the raw file."""
    columns_more: int = 0
    """1: the row has a value too many; -1: its last value is missing."""

    def spoil(self, header: Sequence[str], row: Sequence[str]) -> list[str]:
        spoilt = [self.changes.get(column, value) for column, value in zip(header, row, strict=True)]
        return [*spoilt, "1"][: len(spoilt) + self.columns_more]


def value_defect(column: str, value: str, reason: str, **others: str) -> Defect:
    """A row whose column has this value, for which it is rejected."""
    return Defect(column, reason, {column: value, **others})


def structural_defects(header: Sequence[str], key: str) -> list[Defect]:
    """Defects that every file may have: too few values, too many, and the same key twice."""
    return [
        Defect(header[-1], "too few columns", columns_more=-1),
        Defect(None, "too many columns", columns_more=1),
        Defect(key, "duplicate"),
    ]


def interaction_defects(item_column: str) -> list[Defect]:
    """Defects of what every interactions.csv has."""
    return [
        value_defect("user_id", "guest", "not a whole number"),
        value_defect(item_column, "", "missing"),
        value_defect("timestamp", "yesterday", "not a whole number"),
        value_defect("timestamp", "17", "outside 2000 to 2100"),
        value_defect("position", "0", "outside 1 to 100"),
        value_defect("device", "fridge", f"not one of {', '.join(DEVICES)}"),
        value_defect("click", "", "missing"),
        value_defect("click", "2", "neither 0 nor 1"),
        Defect("user_id", "unknown user", {"user_id": NOBODY}),
        Defect("item_id", "unknown item", {item_column: NOBODY}),
    ]


@dataclass(frozen=True)
class Planter:
    """Plants defects into a file of so many good rows: DIRTY_SHARE of them, each kind in turn."""

    header: Sequence[str]
    defects: Sequence[Defect]
    rows: int

    @property
    def planned(self) -> int:
        return max(round(self.rows * DIRTY_SHARE), len(self.defects)) if self.defects else 0

    def planted(self) -> Counter[tuple[str | None, str]]:
        """Dirty rows by column and reason, which several defects may share."""
        return Counter((defect.column, defect.reason) for defect in islice(cycle(self.defects), self.planned))

    def plant(self, rng: np.random.Generator, block: bytes, first: int) -> bytes:
        """The lines of a block whose first line is the file's good row number `first`, dirty rows added.

        A dirty row stands right after the good row that it was copied from. Lines may hold no quoted
        line breaks.
        """
        if not self.defects:
            return block
        ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n")) + 1
        before, after = (self.planned * row // self.rows for row in (first, first + len(ends)))
        lines = np.sort(rng.integers(len(ends), size=after - before))
        starts = ends - np.diff(ends, prepend=0)
        parts, copied = [], 0
        for number, start, end in zip(range(before, after), starts[lines], ends[lines], strict=True):
            row = next(csv.reader([block[start:end].decode()]))
            spoilt = self.defects[number % len(self.defects)].spoil(self.header, row)
            parts += [block[copied:end], to_line(spoilt)]
            copied = end
        return b"".join([*parts, block[copied:]])


def to_line(row: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(row)
    return text.getvalue().encode()
