"""Numbers as text, the same in every table and sentence."""

from __future__ import annotations

import math

MISSING = "–"
MOST_DECIMALS = 6


def arrow(higher_is_better: bool) -> str:
    return "↑" if higher_is_better else "↓"


def decimals_for(size: float) -> int:
    """Decimals that keep about four digits of a large number, three decimals of one below 10, and two digits of a very
    small one."""
    if size >= 10:
        return max(0, 3 - math.floor(math.log10(size)))
    if 0 < size < 0.01:
        return min(MOST_DECIMALS, 1 - math.floor(math.log10(size)))
    return 3


def format_value(value: float | None, decimals: int | None = None) -> str:
    if value is None or math.isnan(value):
        return MISSING
    shown = decimals_for(abs(value)) if decimals is None else decimals
    return f"{value:,.{shown}f}".replace("-", "−")


def percent(share: float, decimals: int = 0) -> str:
    """'83 %', which no line break splits."""
    return f"{share:.{decimals}%}".replace("%", "\u00a0%").replace("-", "−")


def counted(number: int, what: str) -> str:
    """'1 window', '1,024 windows'."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def format_signed(value: float, decimals: int) -> str:
    """With its sign, a true minus; zero has none."""
    return f"{value:+,.{decimals}f}".replace("-", "−") if value else f"{0:.{decimals}f}"


def format_difference(difference: float, low: float, high: float) -> tuple[str, str]:
    """('+0.012', '[+0.008, +0.016]'): as many decimals as it takes to see on which side of zero both ends lie."""
    if math.isnan(difference):
        return MISSING, MISSING
    ends = [abs(end) for end in (difference, low, high) if end and not math.isnan(end)]
    decimals = decimals_for(max(ends, default=0))
    smallest = min(ends, default=1)
    while decimals < MOST_DECIMALS and round(smallest, decimals) == 0:
        decimals += 1
    middle, *interval = (format_signed(value, decimals) for value in (difference, low, high))
    return middle, MISSING if math.isnan(low) else f"[{', '.join(interval)}]"


def join_words(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"
