"""The text of chosen records, as it stands in a CSV file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtl_pipeline.warehouse.reading.lines import FileRecords
from mtl_pipeline.warehouse.reading.raw import RawFile, read_chunks

MOST_LINES = 1_000
MOST_CHARACTERS = 10_000
MOST_BYTES = 2**20
"""Of a line that are kept in memory."""


def read_contents(
    file: RawFile, layout: FileRecords, lines: np.ndarray, encoding: str
) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """The records that start on these lines (int64, ascending), cut after MOST_CHARACTERS, and how many lines each has.

    One pass over the file, in a few megabytes of memory.
    """
    following = layout.record_at(lines) + 1
    is_last = following >= layout.records
    ends = np.where(is_last, lines + MOST_LINES, layout.line_of(np.where(is_last, 0, following)))
    ends = np.minimum(ends, lines + MOST_LINES)
    contents, counts = [], []
    for records in read_line_ranges(file, lines, ends):
        texts = pc.utf8_trim(decode(records, encoding), "\r\n")
        counts.append(pc.add(pc.count_substring(texts, "\n"), 1).cast(pa.int64()))
        contents.append(shorten(texts))
    return pa.chunked_array(contents, pa.string()), pa.chunked_array(counts, pa.int64())


def decode(records: pa.Array, encoding: str) -> pa.Array:
    """Binary to text; bytes that stand for nothing become U+FFFD, and a byte order mark goes."""
    try:
        if encoding == "utf-8" or pc.all(pc.string_is_ascii(records.cast(pa.string()))).as_py():
            return pc.replace_substring_regex(records.cast(pa.string()), "^\ufeff", "")
    except pa.ArrowInvalid:
        pass  # some byte is not UTF-8
    texts = [
        record.decode(encoding, errors="replace").removeprefix("\ufeff") for record in records.to_pylist()
    ]
    return pa.array(texts, pa.string())


def shorten(texts: pa.Array) -> pa.Array:
    too_long = pc.greater(pc.utf8_length(texts), MOST_CHARACTERS)
    if not pc.any(too_long).as_py():
        return texts
    cut = pc.binary_join_element_wise(pc.utf8_slice_codeunits(texts, 0, MOST_CHARACTERS), "…", "")
    return pc.if_else(too_long, cut, texts)


def read_line_ranges(file: RawFile, starts: np.ndarray, ends: np.ndarray) -> Iterator[pa.Array]:
    """Lines from each start to before its end, both ascending; a range may reach past the end of the file."""
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
        if whole > done:
            yield slices(block, begin, end)
        done = whole
        if done < len(starts):
            next_line = min(next_line, int(starts[done]))
        pending = block[bounds[next_line - first_line] :]
        first_line = next_line


def slices(block: bytes, begin: np.ndarray, end: np.ndarray) -> pa.Array:
    """block[begin:end] of each pair, as binary: the bytes between slices are left out, so overlaps do not matter."""
    offsets = np.concatenate(([0], np.cumsum(end - begin)))
    places = np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], end - begin)
    values = np.frombuffer(block, np.uint8)[places]
    return pa.Array.from_buffers(
        pa.binary(), len(begin), [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(values)]
    )
