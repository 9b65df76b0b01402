"""The vectors of a table's distinct texts, as far as they are known: on disk, in order of the texts' numbers."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtl_pipeline.vectors import VectorsFile


@dataclass
class KnownVectors:
    file: Path
    hashes: pa.Array
    """fixed_size_binary(16) [d + 1]: of the texts, the last of no text, whose vector stays zero."""
    known: np.ndarray = field(init=False)
    """bool [d]"""
    dimension: int = 0
    """0 until there is room for them."""

    def __post_init__(self) -> None:
        self.known = np.zeros(len(self.hashes) - 1, dtype=bool)

    def make_room(self, dimension: int) -> None:
        """Zero, all of it at once: a disk that is full then would kill who writes through memory."""
        if not self.dimension:
            self.dimension = dimension
            with self.file.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, len(self.hashes) * dimension * 4)

    def mapped(self) -> np.ndarray:
        """float32 [d + 1, dimension]: mapped anew each time, lest what was used stays in memory."""
        return np.memmap(self.file, np.float32, "r+", shape=(len(self.hashes), self.dimension))

    def of(self, numbers: np.ndarray) -> tuple[np.ndarray, pa.Array]:
        """Vectors, float32 [numbers, dimension], and text hashes."""
        return self.mapped()[numbers], self.hashes.take(pa.array(numbers))

    def put(self, numbers: np.ndarray, vectors: np.ndarray) -> None:
        self.mapped()[numbers] = vectors
        self.known[numbers] = True

    def take_over(self, stored: VectorsFile) -> np.ndarray:
        """Those of the file that are not known yet. Returns which texts it has, bool [d]."""
        self.make_room(stored.type.list_size)
        hashes = self.hashes.slice(0, len(self.known))
        rows = pc.index_in(hashes, value_set=stored.column("text_hash")).fill_null(-1).to_numpy()
        held = rows >= 0
        wanted = np.flatnonzero(held & ~self.known)
        by_row = wanted[np.argsort(rows[wanted], kind="stable")]
        places = rows[by_row]
        for start, part in stored.parts() if len(wanted) else ():
            first, end = np.searchsorted(places, (start, start + len(part)))
            self.put(by_row[first:end], part[places[first:end] - start])
        return held
