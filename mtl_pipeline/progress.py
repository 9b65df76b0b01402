"""How far long work is, in lines for whoever waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS_BETWEEN_LINES = 5.0
"""What takes less time shows no progress, unless a terminal can write over it."""


class ProgressLog:
    """Called with (done, total) as often as you like; writes a line every few seconds, and the last one. Rates are of
    the time since the first call: what comes before it, as a network to load, comes only once."""

    def __init__(self, log: Callable[[str], None], what: str) -> None:
        self.log, self.what = log, what
        self.first: tuple[int, float] | None = None
        self.started = self.last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first, self.last = (done, now), now
        if done < total and now - self.last < SECONDS_BETWEEN_LINES:
            return
        self.last = now
        before, since = self.first if done > self.first[0] else (0, self.started)
        seconds = max(now - since, 0.001)
        left = time_left(done - before, total - before, seconds)
        self.log(f"{self.what}: {done:,} of {total:,}, {(done - before) / seconds:,.0f}/s{left}")


def time_left(done: float, total: float, seconds: float, *, at_most: bool = False) -> str:
    """To end a line with: how much longer it takes if it goes on as in the `seconds` until now; nothing at the end."""
    left = seconds * (total - done) / done if done else 0
    if not left:
        return ""
    amount = f"{left:.0f} s" if left < 90 else f"{left / 60:.0f} min"
    return f", {'at most' if at_most else 'about'} {amount} left"
