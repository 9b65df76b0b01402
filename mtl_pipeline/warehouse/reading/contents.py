"""The text of chosen records, as it stands in a CSV file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np
import pyarrow as pa

from mtl_pipeline.warehouse.reading.lines import FileRecords
from mtl_pipeline.warehouse.reading.raw import RawFile, read_chunks

MOST_LINES = 1_000
MOST_CHARACTERS = 10_000
MOST_BYTES = 2**20
"""How much of a line is kept in memory."""


def read_contents(
    file: RawFile, layout: FileRecords, lines: np.ndarray, encoding: str
) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """The records that start on these lines (int64, ascending), cut after MOST_CHARACTERS, and how many lines each has.

    Bytes that encode no character become U+FFFD. One pass over the file, in a few megabytes of memory.
    """
    following = layout.record_at(lines) + 1
    is_last = following >= layout.records
    ends = np.where(is_last, lines + MOST_LINES, layout.line_of(np.where(is_last, 0, following)))
    ends = np.minimum(ends, lines + MOST_LINES)
    contents, counts = [], []
    for records in read_line_ranges(file, lines, ends):
        texts = [
            record.decode(encoding, "replace").removeprefix("\ufeff").strip("\r\n") for record in records
        ]
        counts.append(pa.array([text.count("\n") + 1 for text in texts], pa.int64()))
        contents.append(pa.array(map(shorten, texts), pa.string()))
    return pa.chunked_array(contents, pa.string()), pa.chunked_array(counts, pa.int64())


def shorten(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "…"


def read_line_ranges(file: RawFile, starts: np.ndarray, ends: np.ndarray) -> Iterator[list[bytes]]:
    """The lines from each start to before its end, both ascending: the ranges that end in each chunk of the file. The
    last may reach past its end."""
    done, first_line, pending = 0, 1, b""
    for chunk in chain(read_chunks(file), [None]):
        if done == len(starts):
            return
        if chunk and len(pending) > MOST_BYTES and b"\n" not in chunk:
            continue
        block = pending + (chunk or b"\n")
        line_starts = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n")) + 1
        bounds = np.concatenate(([0], line_starts))
        next_line = first_line + len(line_starts)
        whole = len(ends) if chunk is None else int(np.searchsorted(ends, next_line, side="right"))
        begin = bounds[np.minimum(starts[done:whole] - first_line, len(bounds) - 1)]
        end = bounds[np.minimum(ends[done:whole] - first_line, len(bounds) - 1)]
        yield [block[first:last] for first, last in zip(begin.tolist(), end.tolist(), strict=True)]
        done = whole
        if done < len(starts):
            next_line = min(next_line, int(starts[done]))
        pending = block[bounds[next_line - first_line] :]
        first_line = next_line
