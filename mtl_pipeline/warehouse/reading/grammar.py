"""What a record of a CSV file is, in bytes.

A field is plain, or stands in quotes, where a quote is written twice. A plain field may hold quotes, but not begin
with one; a quoted one may hold line ends. One space before the opening quote and any after the closing one are
not part of the field. A record ends with a line feed, or a carriage return and a line feed.
"""

from __future__ import annotations

import re

import numpy as np

from mtl_pipeline.warehouse.reading.dialect import Dialect

NO_CHARACTERS = {
    "utf-8": b"",
    "latin-1": bytes(range(0x80, 0xA0)),
    "windows-1252": b"\x81\x8d\x8f\x90\x9d",
}
"""Bytes that encode no character, by encoding. Whether bytes are valid UTF-8 is left to DuckDB."""


class Grammar:
    """The records of one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        delimiter, self.quote = (text.encode(dialect.encoding) for text in (dialect.delimiter, dialect.quote))
        self.encoding = dialect.encoding
        self.longest_lines, self.longest_bytes = dialect.longest_lines, dialect.longest_bytes
        self.no_characters = NO_CHARACTERS[dialect.encoding]
        self.simple = len(delimiter) == 1
        """Whether quotes can be judged by the byte beside them."""
        between, quote, never = (re.escape(text) for text in (delimiter, self.quote, self.no_characters))
        plain = b"(?:(?!%b)[^\n\r%b])*+" % (between, never)
        if self.simple:
            plain = b"[^\n\r%b%b]*+" % (between, never)
        space = b"" if delimiter == b" " else b" "
        field = plain
        if quote:
            opening = b"%b%b" % (space and b" ?", quote)
            inside = b"%b(?:[^%b%b]++|%b%b)*+" % (opening, quote, never, quote, quote)
            quoted = b"%b%b%b(?=%b|\r?\n)" % (inside, quote, space and b" *+", between)
            field = b"(?>%b|(?!%b)%b)" % (quoted, opening, plain)
            self.opening, self.open_to_the_end = re.compile(opening), re.compile(inside + rb"\Z")
        self.record = re.compile(b"%b(?:%b%b)*+\r?\n" % (field, between, field))
        self.whole_fields = re.compile(b"(?:%b%b)*+" % (field, between))
        self.may_precede = byte_set(delimiter + self.quote + b"\n")
        """What may precede an opening quote, where the delimiter is one byte: bool [256]."""
        self.may_follow = byte_set(delimiter + self.quote + b"\r\n")
        """What may follow a closing quote: bool [256]."""

    def fault(self, block: bytes, start: int, line_end: int, stop: int, limit: str) -> str:
        """Why no record begins at `start`.

        `line_end`: just past its first line; `stop`: how far its end was searched for; `limit`: what set that bound,
        or "".
        """
        if line_end - start > self.longest_bytes + 1:
            return f"longer than {self.longest_bytes:,} bytes"
        if not set(self.no_characters).isdisjoint(block[start:line_end]):
            return f"not {self.encoding.upper()}"
        failed = self.whole_fields.match(block, start, stop).end()  # type: ignore[union-attr]
        if not self.quote or not self.opening.match(block, failed, stop):
            return "carriage return inside the line"
        if self.open_to_the_end.match(block, failed, stop):
            return f"quote not closed{limit and f' within {limit}'}"
        return "text behind a closing quote"

    def irregular_lines(self, block: bytes, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Lines (int64, ascending) that may not be one record. `starts`, and `ends` at line feeds: int64 [lines]."""
        data = np.frombuffer(block, np.uint8, count=int(ends[-1]) + 1)
        suspects = [np.flatnonzero(ends - starts > self.longest_bytes)]
        if b"\r" in block:
            returns = np.flatnonzero(data == ord("\r"))
            suspects.append(np.searchsorted(ends, returns[data[returns + 1] != ord("\n")]))
        for byte in self.no_characters if not block.isascii() else b"":
            suspects.append(np.searchsorted(ends, np.flatnonzero(data == byte)))
        if self.quote and self.quote in block:
            suspects.append(self.lines_of_odd_quotes(data, starts, ends))
        return np.unique(np.concatenate(suspects))

    def lines_of_odd_quotes(self, data: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Lines where some odd-numbered quote cannot open a field, or some even-numbered one cannot close it."""
        quotes = np.flatnonzero(data == ord(self.quote))
        firsts = np.searchsorted(quotes, starts)
        line = np.searchsorted(ends, quotes)
        if not self.simple:
            return line
        opens = (np.arange(len(quotes)) - firsts[line]) % 2 == 0
        before = np.where(quotes > 0, data[quotes - 1], ord("\n"))
        fits = np.where(opens, self.may_precede[before], self.may_follow[data[quotes + 1]])
        unpaired = np.diff(np.append(firsts, len(quotes))) % 2 == 1
        return np.concatenate((line[~fits], np.flatnonzero(unpaired)))

    def is_padded(self, block: bytes) -> bool:
        """Whether a space lies beside a delimiter, quote or line end, or a quoted value is empty."""
        data = np.frombuffer(block, np.uint8)
        spaces = np.flatnonzero(data == ord(" "))
        inner = spaces[(spaces > 0) & (spaces + 1 < len(data))]
        if len(inner) < len(spaces):
            return True
        if self.may_follow[data[inner - 1]].any() or self.may_follow[data[inner + 1]].any():
            return True
        if not self.quote or self.quote not in block:
            return False
        quotes = data == ord(self.quote)
        return bool((quotes[1:] & quotes[:-1]).any())


def byte_set(members: bytes) -> np.ndarray:
    """Whether a byte is one of these: bool [256]."""
    marks = np.zeros(256, dtype=bool)
    marks[np.frombuffer(members, np.uint8)] = True
    return marks
