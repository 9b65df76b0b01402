"""Where the records of a CSV file lie: on which lines, and in which pieces DuckDB reads them.

Quoted line breaks give a record several lines, and blank lines belong to no record; otherwise record and
line number go hand in hand. Line numbers start at 1, record numbers (below the header) at 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Piece:
    """Some megabytes of a file, which begin and end with a record."""

    start: int
    """Offset of its first byte, of the unpacked file."""
    end: int
    first: int
    """Number of its first record, refused ones left out."""
    dropped: np.ndarray
    """int64 [ranges, 2]: first byte and byte behind, counted from `start`, of what DuckDB shall not see: records
    that have no end, blank lines."""
    has_returns: bool
    """Whether a line ends with a carriage return and a line feed. DuckDB is given the line feed."""
    quoted_returns: np.ndarray
    """int64: places of such carriage returns that stand in quotes and so belong to a value."""


@dataclass(frozen=True)
class FileRecords:
    """The records of one file. They start on line `record number + offset of its run`."""

    records: int
    """Below the header, refused ones too."""
    first_records: np.ndarray
    """int64 [runs], ascending, from 0: first record of each run without quoted line breaks or blank lines."""
    offsets: np.ndarray
    """int64 [runs]"""
    refused: np.ndarray
    """int64, ascending: numbers of the records that nobody can read, since they have no end."""
    reasons: list[str]
    """Of each refused record."""
    pieces: list[Piece]
    padded: bool
    """Whether values may be blank or have spaces around them."""
    suspicious_line: int
    """The first line that is not plainly one record; else the first below the header."""

    @property
    def handed_over(self) -> int:
        """Records that DuckDB is given."""
        return self.records - len(self.refused)

    def line_of(self, records: np.ndarray) -> np.ndarray:
        """Lines on which these records start."""
        return records + self.offsets[np.searchsorted(self.first_records, records, side="right") - 1]

    def record_at(self, lines: np.ndarray) -> np.ndarray:
        """Records that start on these lines."""
        first_lines = self.first_records + self.offsets
        return lines - self.offsets[np.searchsorted(first_lines, lines, side="right") - 1]

    def record_of_place(self, pieces: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Records at these places of pieces, counted from 1."""
        firsts = np.array([piece.first for piece in self.pieces])
        given = firsts[pieces] + places - 1
        return given + np.searchsorted(self.refused - np.arange(len(self.refused)), given, side="right")


def whole_lines(records: int, header_lines: int) -> FileRecords:
    """One record on every line: what is believed of remote files, which nobody has looked at."""
    nothing = np.empty(0, dtype=np.int64)
    piece = Piece(0, 0, -header_lines, nothing.reshape(0, 2), False, nothing)
    return FileRecords(
        records, np.array([0]), np.array([1 + header_lines]), nothing, [], [piece], True, 1 + header_lines
    )


def find_runs(layout: FileRecords, rejects: np.ndarray, readable: int) -> tuple[np.ndarray, np.ndarray]:
    """Runs of readable records on consecutive lines: first of each run and line less number (int64 [runs]).

    Readable records are numbered from 0, leaving out the rejects (int64 [rejects], record numbers).
    """
    readable_before = rejects - np.arange(len(rejects))
    layout_starts = layout.first_records - np.searchsorted(rejects, layout.first_records)
    firsts = np.unique(np.concatenate(([0], readable_before, layout_starts)))
    firsts = firsts[firsts < readable]
    records = firsts + np.searchsorted(readable_before, firsts, side="right")
    offsets = layout.line_of(records) - firsts
    changed = np.flatnonzero(np.diff(offsets, prepend=-1))
    return firsts[changed], offsets[changed]
