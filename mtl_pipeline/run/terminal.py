"""What people read: lines that are kept, and, on a terminal, one below them that shows progress and is written over."""

from __future__ import annotations

import os
import shutil
import textwrap
from typing import Any

import dagster as dg

from mtl_pipeline.escaping import printable

WIDEST = 110
WIDEST_CELL = 40
CLEAR_LINE = "\r\x1b[2K"


class Terminal:
    """Writes to standard output as it is now: what steps print later is captured for the UI, and this is not."""

    def __init__(self) -> None:
        self.stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self.width = min(WIDEST, shutil.get_terminal_size((WIDEST, 0)).columns)
        self.rewrites = self.stream.isatty()

    def line(self, text: str = "", *, indent: int = 0, hanging: int = 0) -> None:
        """A text from its lines, each wrapped to the width."""
        first, others = " " * indent, " " * (indent + hanging)
        for part in printable(text).split("\n"):
            wrapper = textwrap.TextWrapper(self.width, first, others, break_on_hyphens=False)
            self.write(wrapper.fill(part) + "\n")
            first = others

    def table(self, table: dg.TableMetadataValue, indent: int) -> None:
        """Without columns that say nothing."""
        records: list[Any] = [record.data for record in table.records]
        named = [column.name for column in table.schema.columns]
        names = [name for name in named if any(str(record[name]) for record in records)]
        rows = [names, *([record[name] for name in names] for record in records)]
        texts = [[printable(str(value))[:WIDEST_CELL] for value in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
        for row in texts:
            aligned = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
            self.write(" " * indent + aligned.rstrip() + "\n")

    def progress(self, text: str) -> None:
        """In place of the last progress; where output is no terminal, a line of its own."""
        shown = printable(text.replace("\n", " "))
        self.write(shown[: self.width - 1] if self.rewrites else shown + "\n")

    def write(self, text: str) -> None:
        try:
            self.stream.write((CLEAR_LINE if self.rewrites else "") + text)
            self.stream.flush()
        except BrokenPipeError:  # `| head` has read enough: the run goes on, and nobody hears of it
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
