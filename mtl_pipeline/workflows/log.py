"""What workflows say while they work, line by line, for their caller to show."""

from __future__ import annotations

from collections.abc import Callable

Log = Callable[[str], None]
