"""Each distinct text once, and the way back to the rows.

A text that is NULL, empty or only white space is *no text*. Its vector is zero, which no encoder gives to
a real text, so that a model can learn what having no text means.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtl_pipeline.vectors import TEXT_HASH_BYTES


@dataclass(frozen=True)
class DistinctTexts:
    texts: pa.Array
    """large_string [d], in order of first appearance."""
    hashes: pa.Array
    """fixed_size_binary(16) [d + 1]: BLAKE2b of each text; the last is that of no text."""
    rows: np.ndarray
    """int64 [n]: the position of each row's text in `texts`; `d` where it has none."""


def distinct_texts(column: pa.ChunkedArray) -> DistinctTexts:
    """The distinct texts of a string column [n]."""
    column = column.cast(pa.large_string())
    blank = pc.equal(pc.utf8_trim_whitespace(column), "")
    present = pc.if_else(blank, pa.scalar(None, pa.large_string()), column)
    encoded = present.combine_chunks().dictionary_encode()
    texts = encoded.dictionary
    rows = encoded.indices.cast(pa.int64()).fill_null(len(texts)).to_numpy()
    hashes = [text_hash(text) for text in (*texts.to_pylist(), "")]
    return DistinctTexts(texts, pa.array(hashes, pa.binary(TEXT_HASH_BYTES)), rows)


def text_hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=TEXT_HASH_BYTES).digest()
