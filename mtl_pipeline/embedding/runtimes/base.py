"""What every runtime offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from ctypes.util import find_library

import numpy as np

from mtl_pipeline.embedding.tokens import Tokenizer

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Row numbers int64 [texts], token ids int64 [windows, tokens], mask bool [windows, tokens]."""


class Runtime(ABC):
    """Computes an encoder."""

    device: str
    """`cuda` or `cpu`."""
    dimension: int
    tokenizer: Tokenizer
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
