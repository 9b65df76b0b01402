"""On which physical line of a CSV file each record starts.

A record is what a CSV reader makes a row of. Quoted line breaks give a record several lines, and
blank lines belong to no record; otherwise record and line number go hand in hand. Line numbers start
at 1, record numbers (below the header) at 0.
"""

from __future__ import annotations

import csv
import io
import logging
from dataclasses import dataclass

import numpy as np

from mtl_pipeline.warehouse.dialect import Dialect
from mtl_pipeline.warehouse.raw import RawFile, count_lines, open_bytes, read_chunks

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LineLayout:
    """Where the records of one file start: on line `record number + offset of its run`."""

    records: int
    """Records below the header."""
    first_records: np.ndarray
    """int64 [runs], ascending, from 0: first record of each run without quoted line breaks or blank lines."""
    offsets: np.ndarray
    """int64 [runs]"""
    blank_places: np.ndarray
    """int64 [blanks], ascending: place of each blank line, counting header, records and blank lines from 1."""
    header_lines: int

    def line_of(self, records: np.ndarray) -> np.ndarray:
        """Lines on which these records start."""
        return records + self.offsets[np.searchsorted(self.first_records, records, side="right") - 1]

    def record_at(self, lines: np.ndarray) -> np.ndarray:
        """Records that start on these lines."""
        first_lines = self.first_records + self.offsets
        return lines - self.offsets[np.searchsorted(first_lines, lines, side="right") - 1]

    def record_of_place(self, places: np.ndarray) -> np.ndarray:
        """Records with these places among header, records and blank lines."""
        return places - 1 - self.header_lines - np.searchsorted(self.blank_places, places)


def read_layout(file: RawFile, dialect: Dialect, records: int) -> LineLayout:
    """The layout of a file in which the CSV reader found so many records below the header."""
    header_lines = int(dialect.has_header)
    regular = regular_layout(records, header_lines)
    if file.is_remote or count_lines(file) == records + header_lines:
        return regular
    for scan in (scan_quote_parity, scan_records):
        layout = scan(file, dialect)
        if layout is not None and layout.records == records:
            return layout
    logger.warning(
        "%s: stray quotes hide where records end; the line numbers of its rejected rows may be too low",
        file.path,
    )
    return regular


def regular_layout(records: int, header_lines: int) -> LineLayout:
    """One record on every line."""
    return LineLayout(
        records, np.array([0]), np.array([1 + header_lines]), np.empty(0, dtype=np.int64), header_lines
    )


def scan_quote_parity(file: RawFile, dialect: Dialect) -> LineLayout:
    """A line end is quoted where an odd number of quotes comes before it.

    A stray quote inside an unquoted field misleads it, so compare the number of records. Takes about
    40 bytes of memory per line.
    """
    line_ends, quoted, carriage_returns = find_line_ends(file, dialect.quote)
    ends = np.flatnonzero(~quoted)
    sizes = np.diff(line_ends[ends], prepend=-1) - 1 - carriage_returns[ends]
    starts = np.concatenate(([0], ends + 1))[: len(ends)] + 1
    blank = (sizes == 0) & (len(dialect.columns) > 1)
    return layout_of(starts, blank, int(dialect.has_header))


def layout_of(start_lines: np.ndarray, blank: np.ndarray, header_lines: int) -> LineLayout:
    """The layout of header, records and blank lines (whether they are: bool [n]) that start on these lines."""
    first_lines = start_lines[~blank][header_lines:]
    offsets = first_lines - np.arange(len(first_lines))
    first_records = np.concatenate(([0], np.flatnonzero(np.diff(offsets)) + 1))
    return LineLayout(
        records=len(first_lines),
        first_records=first_records,
        offsets=offsets[first_records] if len(offsets) else np.array([1 + header_lines]),
        blank_places=np.flatnonzero(blank) + 1,
        header_lines=header_lines,
    )


def find_line_ends(file: RawFile, quote: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Byte offset of each line end (int64 [lines]), whether it lies inside quotes, and follows a CR (bool).

    A last line without a line end gets one at the end of the file.
    """
    offsets, inside_quotes, after_return = [], [], []
    offset = quotes_before = 0
    last = b"\n"
    for chunk in read_chunks(file):
        data = np.frombuffer(chunk, dtype=np.uint8)
        newlines = np.flatnonzero(data == ord("\n"))
        quotes = np.flatnonzero(data == ord(quote)) if quote else newlines[:0]
        before = np.frombuffer(last + chunk[:-1], dtype=np.uint8)
        offsets.append(newlines + offset)
        inside_quotes.append((np.searchsorted(quotes, newlines) + quotes_before) % 2 == 1)
        after_return.append(before[newlines] == ord("\r"))
        offset += len(chunk)
        quotes_before += len(quotes)
        last = chunk[-1:]
    if last != b"\n":
        offsets.append(np.array([offset]))
        inside_quotes.append(np.array([False]))
        after_return.append(np.array([last == b"\r"]))
    return np.concatenate(offsets), np.concatenate(inside_quotes), np.concatenate(after_return)


def scan_records(file: RawFile, dialect: Dialect) -> LineLayout | None:
    """Read the records one by one, as the last resort: a microsecond each."""
    if len(dialect.delimiter) > 1 or not dialect.quote:
        return None
    start_lines, blank = [], []
    csv.field_size_limit(2**31 - 1)
    with open_bytes(file) as stream:
        encoding = "utf-8-sig" if dialect.encoding == "utf-8" else dialect.encoding
        text = io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline="")
        reader = csv.reader(text, delimiter=dialect.delimiter, quotechar=dialect.quote, doublequote=True)
        lines_before = 0
        for record in reader:
            start_lines.append(lines_before + 1)
            blank.append(not record and len(dialect.columns) > 1)
            lines_before = reader.line_num
    return layout_of(np.array(start_lines), np.array(blank, dtype=bool), int(dialect.has_header))


def find_runs(layout: LineLayout, rejects: np.ndarray, readable: int) -> tuple[np.ndarray, np.ndarray]:
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
