"""PyTorch, on the GPU where there is one: takes every encoder that transformers knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from mtl_pipeline.embedding.pretrained import load_pretrained
from mtl_pipeline.embedding.runtimes.base import Batch, Runtime
from mtl_pipeline.embedding.source import EncoderFiles, Settings
from mtl_pipeline.embedding.tokens import Tokenizer
from mtl_pipeline.hardware import has_bfloat16, keep_freed_memory

PRECISIONS = ("float32", "bfloat16")


def precisions(device: str | None) -> list[str]:
    """Those that `precision: auto` may take here, the fastest first."""
    fast = has_bfloat16(torch.device(device or default_device()))
    return ["bfloat16", "float32"] if fast else ["float32"]


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def load(
    files: EncoderFiles, settings: Settings, precision: str, device: str | None, exported: Path
) -> TorchRuntime:
    """Raises UserError as `load_pretrained` does. (`exported`: what other runtimes need.)"""
    return TorchRuntime(files, settings, precision, device)


class TorchRuntime(Runtime):
    """In bfloat16 the weights are rounded too; what is pooled is float32."""

    def __init__(
        self, files: EncoderFiles, settings: Settings, precision: str, device: str | None = None
    ) -> None:
        """`device`: by default the GPU where there is one. Raises UserError as `load_pretrained` does."""
        keep_freed_memory()
        self.device = device or default_device()
        pooled, tokenizer = load_pretrained(files, settings)
        self.pooled = pooled.to(self.device)
        pooled.model.to(getattr(torch, precision))
        self.dimension, self.tokenizer = pooled.dimension, Tokenizer.of(tokenizer, settings)

    @torch.inference_mode()
    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for rows, token_ids, mask in batches:
            ids, present = (torch.from_numpy(values).to(self.device) for values in (token_ids, mask))
            yield rows, self.pooled(ids, present.long()).cpu().numpy()
