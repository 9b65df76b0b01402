"""Progress of long work, line by line, for a workflow's caller to show."""

from __future__ import annotations

import time
from collections.abc import Callable

Log = Callable[[str], None]
SECONDS_BETWEEN_LINES = 5.0


class ProgressLog:
    """Called with (done, total) as often as you like; writes a line every few seconds, and the last one."""

    def __init__(self, log: Log, what: str) -> None:
        self.log, self.what, self.last = log, what, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done < total and now - self.last < SECONDS_BETWEEN_LINES:
            return
        self.last = now
        self.log(f"{self.what}: {done:,} of {total:,}")
