"""OpenVINO and NNCF tell their makers when they are used. Not from here: they leave it in automated builds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

SAYS_SO = ("CI", "NNCF_CI")


@contextmanager
def no_telemetry() -> Iterator[None]:
    """Around conversions."""
    before = {name: os.environ.get(name) for name in SAYS_SO}
    os.environ.update(dict.fromkeys(SAYS_SO, "true"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
