"""What a page says, before it is HTML or Markdown: sections of sentences, tables and figures.

A section knows no markup, and each of the two writers knows every part, so that both pages say the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mtl_pipeline.evaluation.report.figures.canvas import ReportFigure

BEST = "best"
"""The tone of a value that no other in the comparison surpasses."""
NUMBERS = re.compile(r"[\d\s.,:/+−–±%→×✓✗*()\[\]-]*")


@dataclass(frozen=True)
class Cell:
    text: str
    tone: str = ""
    """BEST, or the verdict whose colour it takes; empty for plain text."""
    tint: int = 0
    """Percent of the accent colour behind it."""


@dataclass(frozen=True)
class Table:
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    title: str = ""
    notes: Sequence[str] = ()
    """How to read it, and why a value is missing."""
    highlighted: str = ""
    """What the first cell says of the rows that stand out."""

    @cached_property
    def cells(self) -> list[list[Cell]]:
        return [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.rows]

    @cached_property
    def numeric(self) -> list[bool]:
        """By column: whether all of its cells are numbers, which stand on the right; the first one names the rows."""
        _, *others = zip(*self.cells, strict=True)
        return [False, *(all(NUMBERS.fullmatch(cell.text) for cell in column) for column in others)]


@dataclass(frozen=True)
class Section:
    """A part of a page. What it has is shown in the order of the fields."""

    title: str
    sentences: Sequence[str] = ()
    points: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[ReportFigure] = ()
    code: str = ""
    """YAML."""
    details: Sequence[Section] = ()
    """Folded until a reader opens them."""


@dataclass(frozen=True)
class Document:
    kind: str
    """'Evaluation report'."""
    name: str
    created_at: str
    """ISO time; may be empty."""
    parts: Mapping[str, Sequence[Section]]
    """Sections by what they are about, in their order."""

    @property
    def sections(self) -> list[Section]:
        return [section for part in self.parts.values() for section in part]
