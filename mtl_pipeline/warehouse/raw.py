"""Raw CSV files as they lie on disk: what they contain, and on which line each record starts."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtl_pipeline.errors import UserError

CHUNK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class RawFile:
    """A raw file's identity and size."""

    path: Path
    sha256: str
    bytes: int
    lines: int
    """Physical lines, header included."""


def describe_file(path: Path) -> RawFile:
    """Hash and measure a raw file in one pass.

    Raises UserError when the file is missing or empty.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: put the file there, or name another under `raw:` in defs.yaml")
    digest = hashlib.sha256()
    size = lines = 0
    last = b"\n"
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            lines += chunk.count(b"\n")
            last = chunk[-1:]
    if size == 0:
        raise UserError(f"{path} is empty: it needs a header line and rows")
    return RawFile(path, digest.hexdigest(), size, lines + (last != b"\n"))


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written, read off its header line."""

    columns: list[str]
    delimiter: str
    new_line: str


def read_dialect(path: Path) -> Dialect:
    """Column names, delimiter (comma, semicolon, tab or bar) and line ending of a CSV file.

    Raises UserError when a column has no name or two columns share one.
    """
    with path.open("rb") as stream:
        first_line = stream.readline()
    try:
        header = first_line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: line 1 is not UTF-8; convert the file to UTF-8") from error
    delimiter = max(",;\t|", key=header.count)
    columns = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
    if not columns or "" in columns:
        raise UserError(f"{path}: line 1 must name every column, got: {header.strip() or '(blank)'}")
    if repeated := sorted({name for name in columns if columns.count(name) > 1}):
        raise UserError(f"{path}: line 1 names a column twice: {', '.join(repeated)}")
    return Dialect(columns, delimiter, "\\r\\n" if first_line.endswith(b"\r\n") else "\\n")


@dataclass(frozen=True)
class LineLayout:
    """Where records and lines part ways: quoted line breaks and blank lines.

    A record's position counts the records from the header (0) on, blank lines left out.
    """

    records: int
    """Records below the header."""
    shift_positions: np.ndarray
    """int64 [shifts], ascending: records after this position …"""
    extra_lines: np.ndarray
    """int64 [shifts]: … lie this many lines further down than their position says."""
    blank_ordinals: np.ndarray
    """int64 [blanks], ascending: place of each blank line, counting header, records and blank lines from 1."""

    def line_of(self, position: np.ndarray) -> np.ndarray:
        """Line numbers (from 1) of the records at these positions."""
        shifts_before = np.searchsorted(self.shift_positions, position, side="left")
        return 1 + position + np.concatenate(([0], self.extra_lines))[shifts_before]

    def position_of(self, ordinal: np.ndarray) -> np.ndarray:
        """Positions of the records with these places among header, records and blank lines."""
        return ordinal - 1 - np.searchsorted(self.blank_ordinals, ordinal)


def regular_layout(records: int) -> LineLayout:
    """The layout of a file with one record on every line."""
    nothing = np.empty(0, dtype=np.int64)
    return LineLayout(records, nothing, nothing, nothing)


def scan_line_layout(path: Path, new_line_bytes: int) -> LineLayout:
    """Find quoted line breaks and blank lines by the parity of the quote characters before them.

    Takes 9 bytes of memory per line. A stray quote inside an unquoted field misleads it: compare
    `records` with what the CSV reader found.
    """
    newlines, outside_quotes = find_newlines(path)
    record_ends = newlines[outside_quotes]
    end_lines = np.flatnonzero(outside_quotes) + 1
    record_bytes = np.diff(record_ends, prepend=-1) - new_line_bytes
    blank = record_bytes <= 0
    position = np.cumsum(~blank) - 1
    extra_lines = np.diff(end_lines, prepend=0) - np.where(blank, 0, 1)
    total_extra = np.cumsum(extra_lines)
    last_of_position = np.append(position[1:] != position[:-1], True)
    shifted = last_of_position & (total_extra > np.append(0, total_extra[:-1]))
    return LineLayout(
        records=int((~blank).sum()) - 1,
        shift_positions=position[shifted],
        extra_lines=total_extra[shifted],
        blank_ordinals=np.flatnonzero(blank) + 1,
    )


def find_newlines(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Byte offsets of all line ends (int64 [lines]) and whether each lies outside quotes (bool [lines]).

    A last line without a line end gets one at the end of the file.
    """
    offsets, outside_quotes = [], []
    offset = quotes_before = 0
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            data = np.frombuffer(chunk, dtype=np.uint8)
            newlines = np.flatnonzero(data == ord("\n"))
            quotes = np.flatnonzero(data == ord('"'))
            offsets.append(newlines + offset)
            outside_quotes.append((np.searchsorted(quotes, newlines) + quotes_before) % 2 == 0)
            offset += len(chunk)
            quotes_before += len(quotes)
            ends_open = chunk[-1:] != b"\n"
    if ends_open:
        offsets.append(np.array([offset]))
        outside_quotes.append(np.array([True]))
    return np.concatenate(offsets), np.concatenate(outside_quotes)
