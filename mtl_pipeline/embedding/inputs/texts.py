"""The texts of a table, on disk: read once, and found again by number; in memory are only their hashes.

A text that is NULL, empty or only white space is *no text*.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtl_pipeline.vectors import TEXT_HASH_BYTES

SCHEMA = pa.schema([pa.field("text", pa.large_string())])


@dataclass(frozen=True)
class DistinctTexts:
    """Memory: some 60 bytes a row, besides its id."""

    file: Path
    """Arrow record batches, as they were read."""
    starts: np.ndarray
    """int64 [batches + 1]: the place in the file of each one's first text."""
    places: np.ndarray
    """int64 [d]: of each distinct text, in order of first appearance by id."""
    ids: pa.Array
    """[n], in ascending order."""
    numbers: np.ndarray
    """int32 [n]: the number of each row's text; `d` where it has none."""
    hashes: pa.Array
    """fixed_size_binary(16) [d + 1]: BLAKE2b of each text; the last is that of no text."""

    def __len__(self) -> int:
        return len(self.places)

    def take(self, numbers: np.ndarray) -> pa.Array:
        """Texts (large_string) by number. The file is mapped anew each time, lest what was read stays in memory."""
        by_place = np.argsort(self.places[numbers], kind="stable")
        places = self.places[numbers][by_place]
        parts = [pa.array([], pa.large_string())]
        with pa.memory_map(str(self.file)) as mapped:
            batches = pa.ipc.open_file(mapped)
            for batch in np.unique(np.searchsorted(self.starts, places, side="right") - 1):
                start, end = self.starts[batch : batch + 2]
                inside = places[np.searchsorted(places, start) : np.searchsorted(places, end)] - start
                parts.append(batches.get_batch(batch)["text"].take(pa.array(inside)))
            return pa.concat_arrays(parts).take(pa.array(np.argsort(by_place)))

    def sample(self, count: int) -> pa.Array:
        """So many texts of chance, always the same."""
        chosen = np.random.default_rng(0).permutation(len(self))[:count]
        return self.take(np.sort(chosen))


def keep_texts(
    batches: Iterable[pa.RecordBatch], file: Path, hashes_of: Callable[[pa.Array], pa.Array] | None = None
) -> DistinctTexts:
    """Write the texts of `batches` (columns `id` and `text`, in any order) into `file`. `hashes_of` (default:
    `text_hashes`) says which of them are the same."""
    ids, hashes, starts = [], [pa.array([], pa.binary(TEXT_HASH_BYTES))], [0]
    with pa.ipc.new_file(str(file), SCHEMA) as writer:
        for batch in batches:
            text = batch["text"].cast(pa.large_string())
            writer.write_batch(pa.record_batch([text], schema=SCHEMA))
            ids.append(
                batch["id"].take(pa.array(np.arange(len(batch))))
            )  # a copy: a slice would hold the batch
            blank = pc.equal(pc.utf8_trim_whitespace(text), "")
            present = pc.if_else(blank, pa.scalar(None, pa.large_string()), text)
            hashes.append((hashes_of or text_hashes)(present))
            starts.append(starts[-1] + len(batch))
    all_ids = pa.concat_arrays(ids) if ids else pa.array([], pa.int64())
    by_id = pc.sort_indices(all_ids)
    found = pa.concat_arrays(hashes).take(by_id).dictionary_encode()
    numbers, count = found.indices, len(found.dictionary)
    _, first = np.unique(numbers.drop_null().to_numpy(), return_index=True)
    with_text = by_id.filter(numbers.is_valid()).to_numpy()
    return DistinctTexts(
        file,
        np.array(starts, dtype=np.int64),
        with_text[first].astype(np.int64),
        all_ids.take(by_id),
        numbers.fill_null(count).to_numpy(),
        pa.concat_arrays([found.dictionary, text_hashes(pa.array([""]))]),
    )


def text_hashes(texts: pa.Array) -> pa.Array:
    hashes = [None if text is None else text_hash(text) for text in texts.to_pylist()]
    return pa.array(hashes, pa.binary(TEXT_HASH_BYTES))


def text_hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=TEXT_HASH_BYTES).digest()
