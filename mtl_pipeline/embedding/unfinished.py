"""What a run that was killed had computed: pieces beside the file that it was to write, so that the next one goes on.

Each piece is a file of vectors of its own, with its checksum; one that is damaged, or another encoder's, is not used.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from mtl_pipeline.errors import UserError
from mtl_pipeline.vectors import read_vectors, write_vectors

SECONDS_BETWEEN = 30.0
"""Between pieces: at most as much, and a batch, is computed again."""


@dataclass
class Unfinished:
    target: Path
    """The file that is to be written."""
    fingerprint: str
    """Of the encoder."""
    hashes: list[pa.Array] = field(default_factory=list)
    vectors: list[np.ndarray] = field(default_factory=list)
    kept_at: float = field(default_factory=time.monotonic)

    @property
    def folder(self) -> Path:
        return self.target.with_name(f".{self.target.name}.unfinished")

    def read(self) -> tuple[pa.Array, np.ndarray] | None:
        """Text hashes [n] and vectors, float32 [n, dimension], of an earlier run; None where there is none."""
        pieces = []
        for path in sorted(self.folder.glob("*.parquet")):
            try:
                piece = read_vectors(path)
            except UserError:
                continue
            if piece.metadata.get("encoder_fingerprint") == self.fingerprint:
                pieces.append(piece)
        if not pieces:
            self.remove()
            return None
        hashes = pa.concat_arrays([piece.text_hashes for piece in pieces])
        return hashes, np.concatenate([piece.vectors for piece in pieces])

    def add(self, hashes: pa.Array, vectors: np.ndarray) -> None:
        """Some more; now and then all since the last time are written as a piece."""
        self.hashes.append(hashes)
        self.vectors.append(vectors)
        if time.monotonic() - self.kept_at < SECONDS_BETWEEN:
            return
        all_hashes = pa.concat_arrays(self.hashes)
        piece = self.folder / f"{time.time_ns()}.parquet"
        made = {"encoder_fingerprint": self.fingerprint, "encoder": "{}"}
        write_vectors(piece, all_hashes, np.concatenate(self.vectors), all_hashes, made)
        self.hashes, self.vectors, self.kept_at = [], [], time.monotonic()

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
