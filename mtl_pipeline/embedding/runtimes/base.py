"""What every runtime offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from ctypes.util import find_library
from typing import Protocol

import numpy as np
import pyarrow as pa

Batch = tuple[np.ndarray, ...]
"""Row numbers int64 [texts]; of texts, token ids int64 [windows, tokens] and mask bool [windows, tokens]; of pictures,
pixels float32 [pictures, 3, height, width]."""


class Prepared(Protocol):
    """Texts or pictures, to be handed out in batches."""

    @property
    def lengths(self) -> np.ndarray:
        """int64 [texts]: how much there is to read; a text with nothing stays zero."""

    def batches(self, batch_size: int, tokens_at_once: int = 0) -> Iterator[np.ndarray]:
        """Row numbers."""

    def padded(self, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """What a `Batch` holds of them."""

    def pooled(self, rows: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From what a runtime made of that: those of `rows` that have a vector, and these vectors."""


class Reader(Protocol):
    """The part of an encoder that comes before the network."""

    def prepare(self, texts: pa.Array) -> Prepared: ...


class Runtime(ABC):
    """Computes an encoder."""

    device: str
    """`cuda` or `cpu`."""
    dimension: int
    reader: Reader
    """Of this encoder."""
    tokens_at_once: int = 0
    """Batches are as large as `batch_size` says, or until they have so many tokens, padding included."""

    @abstractmethod
    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Row numbers and vectors, float32 [windows, dimension], of each batch, in their order."""


def has_cuda() -> bool:
    """Whether there is a GPU. Where there is not even a driver, without importing torch, which takes seconds."""
    if not find_library("cuda"):
        return False
    import torch

    return torch.cuda.is_available()
