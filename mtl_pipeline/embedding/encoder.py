"""Texts or pictures in, vectors out, whatever computes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from mtl_pipeline.embedding.runtimes import EXACT, Variant, load
from mtl_pipeline.embedding.runtimes.base import Batch, Prepared, Runtime
from mtl_pipeline.embedding.source import EncoderFiles
from mtl_pipeline.spec import Encoder, ImageEncoder

Progress = Callable[[int, int], None]
"""Called after each batch with (texts done, texts in all)."""


@dataclass(frozen=True)
class TextEncoder:
    runtime: Runtime
    batch_size: int
    normalised: bool = False

    def encode(self, texts: pa.Array) -> tuple[np.ndarray, int]:
        """Vectors (float32 [n, dimension]) of `texts` (strings [n]); their token count."""
        prepared = self.runtime.reader.prepare(texts)
        vectors = np.zeros((len(texts), self.runtime.dimension), dtype=np.float32)
        for rows, found in self.run([(np.arange(len(texts)), prepared)]):
            vectors[rows] = found
        return vectors, int(prepared.lengths.sum())

    def run(self, chunks: Iterable[tuple[np.ndarray, Prepared]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Numbers, int64 [batch], and vectors, float32 [batch, dimension], of numbered texts, batch by batch: within a
        chunk the longest first, and none of a text without a token. A chunk is asked for when it is needed."""

        computing: deque[tuple[np.ndarray, Prepared, np.ndarray]] = deque()

        def batches() -> Iterator[Batch]:
            for numbers, prepared in chunks:
                for rows in prepared.batches(self.batch_size, self.runtime.tokens_at_once):
                    computing.append((numbers, prepared, rows))
                    yield numbers[rows], *prepared.padded(rows)

        for _, found in self.runtime.run(batches()):
            numbers, prepared, rows = computing.popleft()
            rows, vectors = prepared.pooled(rows, found)
            if self.normalised:
                vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
            yield numbers[rows], vectors


def load_encoder(
    files: EncoderFiles,
    settings: Encoder | ImageEncoder,
    device: str | None = None,
    variant: Variant = EXACT,
    exported: Path = Path(),
) -> TextEncoder:
    """By default on the GPU where there is one. `exported`: see `runtimes.load`.

    Raises UserError when the files are no encoder that works with these settings, or with this variant.
    """
    return TextEncoder(
        load(files, settings, variant, device, exported), settings.batch_size, settings.normalised
    )
