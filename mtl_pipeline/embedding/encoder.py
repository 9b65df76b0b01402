"""Texts in, vectors out, whatever computes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from mtl_pipeline.embedding.runtimes import EXACT, Variant, load
from mtl_pipeline.embedding.runtimes.base import Runtime
from mtl_pipeline.embedding.source import EncoderFiles
from mtl_pipeline.embedding.tokens import tokenize
from mtl_pipeline.spec import Encoder

Progress = Callable[[int, int], None]
"""Called after each batch with (texts done, texts in all)."""

Keep = Callable[[np.ndarray, np.ndarray], None]
"""Called after each batch with the places of its texts, int64 [batch], and vectors, float32 [batch, dimension]."""


@dataclass(frozen=True)
class TextEncoder:
    runtime: Runtime
    batch_size: int

    def encode(
        self, texts: pa.Array, progress: Progress | None = None, keep: Keep = lambda rows, vectors: None
    ) -> tuple[np.ndarray, int]:
        """Vectors (float32 [n, dimension], not normalised) of `texts` (strings [n]); their token count."""
        tokens = tokenize(self.runtime.tokenizer, texts)
        vectors = np.zeros((len(texts), self.runtime.dimension), dtype=np.float32)
        batches = ((rows, *tokens.padded(rows)) for rows in tokens.batches(self.batch_size))
        done = 0
        for rows, found in self.runtime.run(batches):
            vectors[rows] = found
            keep(rows, found)
            done += len(rows)
            if progress:
                progress(done, len(texts))
        return vectors, len(tokens.token_ids)


def load_encoder(
    files: EncoderFiles,
    settings: Encoder,
    device: str | None = None,
    variant: Variant = EXACT,
    exported: Path = Path(),
) -> TextEncoder:
    """By default on the GPU where there is one. `exported`: see `runtimes.load`.

    Raises UserError when the files are no text encoder that works with these settings, or with this variant.
    """
    return TextEncoder(load(files, settings, variant, device, exported), settings.batch_size)
