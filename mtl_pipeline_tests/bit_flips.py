"""Single bits of published files, flipped one at a time: each is noticed and named, or changes nothing that is read."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path

from mtl_pipeline.errors import UserError


def flip(path: Path, bit: int) -> bytes:
    """What the file was before."""
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[bit // 8] ^= 1 << bit % 8
    path.write_bytes(flipped)
    return whole


def drawn_bits(path: Path, count: int, seed: int) -> list[int]:
    return [
        random.Random(f"{seed} {path.name} {number}").randrange(path.stat().st_size * 8)
        for number in range(count)
    ]


def noticed(path: Path, bits: Iterable[int], read: Callable[[], object], message: str) -> int:
    """How many flips `read` refuses by a UserError that holds the message.

    Raises AssertionError where it takes over other content than that of the whole file.
    """
    content, refused = read(), 0
    for bit in bits:
        whole = flip(path, bit)
        try:
            same = bool(read() == content)
        except UserError as error:
            same, refused = message in str(error), refused + 1
        finally:
            path.write_bytes(whole)
        assert same, f"{path}, bit {bit}: taken over, or refused without '{message}'"
    return refused
