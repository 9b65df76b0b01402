"""Find the records of a CSV file by looking at its bytes, before DuckDB reads it and independently of it.

DuckDB's reader splits a file among threads, and guesses where a record starts: a quote that is never closed, a
quoted line break, or a row with too few columns near the split makes it silently lose megabytes. So records are
found and counted here; DuckDB reads pieces that are cut between records, without the records that have no end, and
the number of rows it makes of them is compared with the count.

A line whose quotes all open or close a field is one record, which numpy can tell at a few milliseconds a megabyte.
Only the other lines are looked at one by one.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from concurrent.futures import ThreadPoolExecutor
from typing import IO

import numpy as np

from mtl_pipeline.errors import UserError
from mtl_pipeline.warehouse.reading.dialect import Dialect
from mtl_pipeline.warehouse.reading.grammar import Grammar
from mtl_pipeline.warehouse.reading.lines import FileRecords, Piece
from mtl_pipeline.warehouse.reading.raw import CHUNK_BYTES, RawFile, open_bytes

PIECE_BYTES = 8 * 2**20


def find_records(file: RawFile, dialect: Dialect) -> FileRecords:
    """The records of a local file, in bounded memory beyond 16 bytes for each quoted line break, blank line and fault.

    Raises UserError where a file said to be Latin-1 is not.
    """
    return RecordFinder(file, dialect).find()


class RecordFinder:
    """One pass over one file. A block is some bytes that start with a record; its lines are counted from 0."""

    def __init__(self, file: RawFile, dialect: Dialect) -> None:
        self.file = file
        self.grammar = Grammar(dialect)
        self.skips_blank_lines = len(dialect.columns) > 1
        self.header_lines = int(dialect.has_header)
        self.position, self.line, self.records = 0, 1, 0
        """Offset of the block, its first line and its first record."""
        self.inside_too_long = False
        self.first_records, self.offsets = [np.array([0])], [np.array([1 + self.header_lines])]
        self.refused: list[int] = []
        self.reasons: list[str] = []
        self.suspicious_line: int | None = None
        self.pieces: list[Piece] = []
        self.start_piece()

    def find(self) -> FileRecords:
        pending = b""
        with open_bytes(self.file) as stream, ThreadPoolExecutor(1) as beside:
            self.pass_header(stream)
            padded = beside.submit(bool)  # looking for spaces goes on while the next block is read
            while chunk := stream.read(min(CHUNK_BYTES, self.grammar.longest_bytes)):
                block = self.pass_too_long(pending + chunk)
                done = self.take(block)
                if done and not padded.result():
                    padded = beside.submit(self.grammar.is_padded, block[:done])
                pending = block[done:]
            if pending:
                pending += b"" if pending.endswith(b"\n") else b"\n"
                self.take(pending, at_end=True)
                if not padded.result():
                    padded = beside.submit(self.grammar.is_padded, pending)
        self.end_piece()
        return FileRecords(
            self.records,
            np.concatenate(self.first_records),
            np.concatenate(self.offsets),
            np.array(self.refused, dtype=np.int64),
            self.reasons,
            self.pieces,
            padded.result(),
            self.suspicious_line or 1 + self.header_lines,
        )

    def pass_header(self, stream: IO[bytes]) -> None:
        """Go past the header line or, where there is none, past a byte order mark."""
        start = stream.readline() if self.header_lines else stream.read(len(BOM_UTF8))
        self.position = len(start) if self.header_lines or start == BOM_UTF8 else 0
        self.line += self.header_lines
        stream.seek(self.position)
        self.start_piece()

    def pass_too_long(self, block: bytes) -> bytes:
        """The block past the rest of a line that is too long."""
        if not self.inside_too_long:
            return block
        end = block.find(b"\n") + 1
        self.inside_too_long = end == 0
        self.line += end > 0
        self.drop(np.array([[self.position, self.position + (end or len(block))]]))
        self.position += end or len(block)
        return block[end or len(block) :]

    def take(self, block: bytes, *, at_end: bool = False) -> int:
        """Note the records of a block. Returns how many bytes that covers."""
        whole = block.rfind(b"\n") + 1
        if not whole:
            if len(block) > self.grammar.longest_bytes:
                self.refuse(self.records, self.line, f"longer than {self.grammar.longest_bytes:,} bytes")
                self.note_lines(np.array([self.line]), 1)
                self.inside_too_long = True
                self.pass_too_long(block)
                return len(block)
            return 0
        data = np.frombuffer(block, np.uint8, count=whole)
        is_end = data == ord("\n")
        if self.is_plain(block, is_end):
            lines = int(np.count_nonzero(is_end))
            self.note_lines(None, lines)
            self.line += lines
        else:
            whole = self.take_lines(block, data, np.flatnonzero(is_end), at_end)
        self.position += whole
        if self.position - self.piece_start >= PIECE_BYTES:
            self.end_piece()
        return whole

    def is_plain(self, block: bytes, is_end: np.ndarray) -> bool:
        """Whether every line of the block is a record and ends with a line feed alone."""
        grammar = self.grammar
        return not (
            (grammar.quote and grammar.quote in block)
            or b"\r" in block
            or (grammar.no_characters and not block.isascii())
            or block.find(b"\n") > grammar.longest_bytes
            or (self.skips_blank_lines and (is_end[0] or (is_end[1:] & is_end[:-1]).any()))
        )

    def take_lines(self, block: bytes, data: np.ndarray, ends: np.ndarray, at_end: bool) -> int:
        """Note the records of a block line by line, as far as it is certain where they end. Returns how many bytes."""
        starts = np.concatenate(([0], ends[:-1] + 1))
        begins, refused, lines = self.follow_irregular(block, starts, ends, at_end)
        starts, ends, begins = starts[:lines], ends[:lines], begins[:lines]
        if not lines:
            return 0
        returned = (ends > starts) & (data[ends - 1] == ord("\r"))
        last_lines = np.append(begins[1:], True)
        blank = begins & (ends - starts == returned) & self.skips_blank_lines
        dropped = blank.copy()
        dropped[refused] = True
        self.drop(np.column_stack((starts, ends + 1))[dropped] + self.position)
        self.has_returns |= bool(returned.any())
        self.quoted_returns.append(ends[returned & ~last_lines] - 1 + self.position)
        begins = begins & ~blank
        numbers = self.records + np.cumsum(begins) - 1
        self.refused += numbers[refused].tolist()
        self.note_lines(np.flatnonzero(begins) + self.line, int(begins.sum()))
        self.line += lines
        return int(ends[-1]) + 1

    def follow_irregular(
        self, block: bytes, starts: np.ndarray, ends: np.ndarray, at_end: bool
    ) -> tuple[np.ndarray, list[int], int]:
        """Which lines begin a record (bool [lines]), which of those have no end, and how many lines are certain."""
        grammar = self.grammar
        begins = np.ones(len(ends), dtype=bool)
        refused: list[int] = []
        following = 0
        for line in grammar.irregular_lines(block, starts, ends).tolist():
            if line < following:
                continue
            start = int(starts[line])
            stop, limit = self.furthest_end(start, line, ends)
            record = grammar.record.match(block, start, stop)
            if record is None and not limit and not at_end:
                return begins, refused, line
            if self.suspicious_line is None:
                self.suspicious_line = self.line + line
            if record is None:
                refused.append(line)
                self.reasons.append(grammar.fault(block, start, int(ends[line]) + 1, stop, limit))
                self.refuse_wrong_encoding(self.line + line)
                following = line + 1
            else:
                following = line + block.count(b"\n", start, record.end())
                begins[line + 1 : following] = False
        return begins, refused, len(ends)

    def furthest_end(self, start: int, line: int, ends: np.ndarray) -> tuple[int, str]:
        """Where a record that starts here must have ended, and which limit says so; "" where the block ends first."""
        grammar = self.grammar
        whole, last_line = int(ends[-1]) + 1, line + grammar.longest_lines - 1
        by_lines = int(ends[last_line]) + 1 if last_line < len(ends) else whole + 1
        by_bytes = start + grammar.longest_bytes + 1
        if whole < min(by_lines, by_bytes):
            return whole, ""
        if by_lines <= by_bytes:
            return by_lines, f"{grammar.longest_lines:,} lines"
        return by_bytes, f"{grammar.longest_bytes:,} bytes"

    def refuse_wrong_encoding(self, line: int) -> None:
        if self.reasons[-1] == "not LATIN-1":
            raise UserError(
                f"{self.file.path}: line {line} is not Latin-1, perhaps Windows-1252: write `encoding: windows-1252` "
                "under `raw:` in defs.yaml"
            )

    def refuse(self, record: int, line: int, reason: str) -> None:
        self.refused.append(record)
        self.reasons.append(reason)
        self.suspicious_line = self.suspicious_line or line

    def note_lines(self, lines: np.ndarray | None, records: int) -> None:
        """Note that the next records start on these lines; None: on consecutive ones."""
        if records:
            if lines is None:
                lines = np.array([self.line])
            offsets = lines - np.arange(self.records, self.records + len(lines))
            changed = np.flatnonzero(np.diff(offsets, prepend=self.offsets[-1][-1]))
            if len(changed):
                self.first_records.append(changed + self.records)
                self.offsets.append(offsets[changed])
        self.records += records

    def drop(self, ranges: np.ndarray) -> None:
        if len(ranges):
            self.dropped.append(ranges)

    def start_piece(self) -> None:
        self.piece_start, self.piece_first = self.position, self.records - len(self.refused)
        self.dropped: list[np.ndarray] = []
        self.quoted_returns: list[np.ndarray] = []
        self.has_returns = False

    def end_piece(self) -> None:
        """Close the piece with what was noted since the last one. A file has at least one piece."""
        dropped = np.concatenate([np.empty((0, 2), dtype=np.int64), *self.dropped]) - self.piece_start
        quoted = np.concatenate([np.empty(0, dtype=np.int64), *self.quoted_returns]) - self.piece_start
        if self.records - len(self.refused) > self.piece_first or not self.pieces:
            self.pieces.append(
                Piece(self.piece_start, self.position, self.piece_first, dropped, self.has_returns, quoted)
            )
        self.start_piece()
