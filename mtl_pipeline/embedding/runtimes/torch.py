"""PyTorch, on the GPU where there is one: takes every encoder that transformers knows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mtl_pipeline.embedding.inputs.tokens import Tokenizer
from mtl_pipeline.embedding.pretrained.language import Pooled, load_pretrained
from mtl_pipeline.embedding.pretrained.vision import Vision, load_vision
from mtl_pipeline.embedding.runtimes.base import Batch, Reader, Runtime
from mtl_pipeline.embedding.source import EncoderFiles, Settings
from mtl_pipeline.hardware import has_bfloat16, keep_freed_memory

TOKENS_ON_GPU = 65_536
"""At once: 100 MB for each array of 384 numbers a token."""
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
    network, reader = LOADERS[settings.section](files, settings)
    return TorchRuntime(network, reader, precision, device)


def load_text(files: EncoderFiles, settings: Settings) -> tuple[Pooled, Tokenizer]:
    pooled, tokenizer = load_pretrained(files, settings)
    return pooled, Tokenizer.of(tokenizer, settings)


LOADERS: dict[str, Callable[..., tuple[Pooled | Vision, Reader]]] = {
    "encoder": load_text,
    "image_encoder": load_vision,
}


class TorchRuntime(Runtime):
    """In bfloat16 the weights are rounded too; what is pooled is float32."""

    def __init__(
        self, network: Pooled | Vision, reader: Reader, precision: str, device: str | None = None
    ) -> None:
        """`device`: by default the GPU where there is one."""
        keep_freed_memory()
        self.device = device or default_device()
        self.on_gpu = self.device.startswith("cuda")
        self.tokens_at_once = TOKENS_ON_GPU if self.on_gpu else 0
        self.network = network.to(self.device)
        network.model.to(getattr(torch, precision))
        self.dimension, self.reader = network.dimension, reader

    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """One batch behind: while a GPU computes one, the next is padded, and the last one's vectors are taken."""
        computing: deque[tuple[np.ndarray, Tensor, torch.cuda.Event | None]] = deque()
        for rows, *inputs in batches:
            vectors = self.compute(*map(self.moved, inputs))
            computing.append((rows, *self.fetched(vectors)))
            if len(computing) > 1:
                yield waited_for(*computing.popleft())
        yield from (waited_for(*last) for last in computing)

    def moved(self, values: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(values.astype(np.int64) if values.dtype == bool else values)
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.on_gpu else tensor

    def fetched(self, vectors: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
        """On their way to the CPU; the event says when they are there."""
        if not self.on_gpu:
            return vectors, None
        here = torch.empty_like(vectors, device="cpu", pin_memory=True)
        here.copy_(vectors, non_blocking=True)
        there = torch.cuda.Event()
        there.record()
        return here, there

    @torch.inference_mode()
    def compute(self, *inputs: Tensor) -> Tensor:
        """Where memory is too small for a batch, its halves one after the other."""
        try:
            return self.network(*inputs)
        except torch.OutOfMemoryError:
            if len(inputs[0]) == 1:
                raise
        if self.on_gpu:
            torch.cuda.empty_cache()
        halves = zip(*(values.tensor_split(2) for values in inputs), strict=True)
        return torch.cat([self.compute(*half) for half in halves])


def waited_for(
    rows: np.ndarray, vectors: Tensor, there: torch.cuda.Event | None
) -> tuple[np.ndarray, np.ndarray]:
    if there:
        there.synchronize()
    return rows, vectors.numpy()
