"""Where the records of a CSV file lie: on which lines, and in which pieces DuckDB reads them.

Quoted line breaks give a record several lines, and blank lines belong to no record; otherwise record and
line number go hand in hand. Line numbers start at 1, record numbers (below the header) at 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Piece:
    """A few megabytes of a file, cut between records."""

    start: int
    """Offset of its first byte in the unpacked file."""
    end: int
    first: int
    """Number of its first record, not counting refused ones."""
    dropped: np.ndarray
    """int64 [ranges, 2]: bounds, relative to `start`, of what DuckDB must not see: records without an end and blank
    lines."""
    has_returns: bool
    """Whether some line ends with a carriage return and a line feed. DuckDB is given the line feed only."""
    quoted_returns: np.ndarray
    """int64: where such carriage returns stand in quotes and so belong to a value."""


@dataclass(frozen=True)
class FileRecords:
    """The records of one file. They start on line `record number + offset of its run`."""

    records: int
    """Below the header, including refused ones."""
    first_records: np.ndarray
    """int64 [runs], ascending, from 0: first record of each run without quoted line breaks or blank lines."""
    offsets: np.ndarray
    """int64 [runs]"""
    refused: np.ndarray
    """int64, ascending: numbers of the records that cannot be read because they have no end."""
    reasons: list[str]
    """Of each refused record."""
    pieces: list[Piece]
    padded: bool
    """Whether some value may be blank or have spaces around it."""
    suspicious_line: int
    """The first line that is not clearly one record; by default the first below the header."""

    @property
    def handed_over(self) -> int:
        """How many records DuckDB is given."""
        return self.records - len(self.refused)

    def line_of(self, records: np.ndarray) -> np.ndarray:
        """The lines on which these records start."""
        return records + self.offsets[np.searchsorted(self.first_records, records, side="right") - 1]

    def record_at(self, lines: np.ndarray) -> np.ndarray:
        """The records that start on these lines."""
        first_lines = self.first_records + self.offsets
        return lines - self.offsets[np.searchsorted(first_lines, lines, side="right") - 1]

    def record_of_place(self, pieces: np.ndarray, places: np.ndarray) -> np.ndarray:
        """The records at these places, counted from 1, of these pieces."""
        firsts = np.array([piece.first for piece in self.pieces])
        given = firsts[pieces] + places - 1
        return given + np.searchsorted(self.refused - np.arange(len(self.refused)), given, side="right")


def whole_lines(records: int, header_lines: int) -> FileRecords:
    """One record on every line: what is assumed of remote files, whose bytes are not looked at."""
    nothing = np.empty(0, dtype=np.int64)
    piece = Piece(0, 0, -header_lines, nothing.reshape(0, 2), False, nothing)
    return FileRecords(
        records, np.array([0]), np.array([1 + header_lines]), nothing, [], [piece], True, 1 + header_lines
    )


def find_runs(layout: FileRecords, rejects: np.ndarray, readable: int) -> tuple[np.ndarray, np.ndarray]:
    """Runs of readable records on consecutive lines: first of each run, and its line minus its number (int64 [runs]).

    Readable records are numbered from 0, without the rejects (record numbers, int64 [rejects]).
    """
    readable_before = rejects - np.arange(len(rejects))
    layout_starts = layout.first_records - np.searchsorted(rejects, layout.first_records)
    firsts = np.unique(np.concatenate(([0], readable_before, layout_starts)))
    firsts = firsts[firsts < readable]
    records = firsts + np.searchsorted(readable_before, firsts, side="right")
    offsets = layout.line_of(records) - firsts
    changed = np.flatnonzero(np.diff(offsets, prepend=-1))
    return firsts[changed], offsets[changed]
