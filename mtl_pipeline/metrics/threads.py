"""Work that numpy and scikit-learn do outside Python's lock, spread over the cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")

MOST_THREADS = 8
"""Bounds memory on machines with many cores: each thread holds a few arrays of the rows' length."""


def in_threads(function: Callable[[In], Out], inputs: Iterable[In]) -> list[Out]:
    """`function` of every input, in order."""
    workers = min(MOST_THREADS, os.cpu_count() or 1)
    if workers == 1:
        return [function(each) for each in inputs]
    with ThreadPoolExecutor(max_workers=workers) as pool:
        return list(pool.map(function, inputs))
