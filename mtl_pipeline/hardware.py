"""What the machine can do, and how its memory is used: the same for training and for text vectors."""

from __future__ import annotations

import ctypes
import platform
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Of mallopt, see https://man7.org/linux/man-pages/man3/mallopt.3.html."""
KEPT = 1 << 30
"""Bytes at the end of the heap that are kept at most; what lies before something that is still used is kept anyway."""
LARGEST = 32 << 20
"""Bytes of an array; larger ones are handed back as ever. More is not possible."""


def keep_freed_memory() -> None:
    """For what comes next in this process. Does nothing where the C library is not glibc.

    Every step of training, and every batch of texts, takes and frees the same few megabytes. glibc hands them back to
    the system at once, and has them zeroed page by page when it takes them again: an eighth of the time.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    if library.mallopt(MMAP_THRESHOLD, LARGEST):  # without it, the other would make it slower
        library.mallopt(TRIM_THRESHOLD, KEPT)


def has_bfloat16(device: torch.device) -> bool:
    """Whether it multiplies bfloat16 faster than float32: others can too, by way of float32."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
