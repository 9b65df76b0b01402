"""When things happen: 60 days, busier at weekends and in the evening; every row has a time of its own."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np

START = date(2026, 1, 5)  # a Monday
DAYS = 60
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
START_MS = int(datetime(START.year, START.month, START.day, tzinfo=UTC).timestamp()) * 1000

WEEKDAY_WEIGHTS = np.array([1, 1, 1, 1, 1.1, 1.4, 1.4])
HOUR_WEIGHTS = np.array([3, 2, 1, 1, 1, 2, 4, 6, 7, 7, 7, 7, 9, 8, 7, 7, 8, 10, 12, 14, 15, 14, 10, 6])


def divide(rows: int, weights: np.ndarray) -> np.ndarray:
    """Split `rows` into whole parts in proportion to the weights."""
    boundaries = np.rint(np.cumsum(weights) / np.sum(weights) * rows).astype(np.int64)
    return np.diff(boundaries, prepend=0)


def rows_per_day(rows: int) -> np.ndarray:
    return divide(rows, WEEKDAY_WEIGHTS[np.arange(DAYS) % 7])


def draw_times(
    rng: np.random.Generator, day: int, day_rows: int, first: int, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Times of the rows from `first` on, of a day that has `day_rows` in all.

    int64 milliseconds since 1970, strictly ascending, and the hour of the day, int8. Each row gets a slot of its own
    within its hour and a random place in it, so that times never repeat, whichever block of rows they are drawn for.
    """
    in_hour = divide(day_rows, HOUR_WEIGHTS)
    hour_starts = np.cumsum(in_hour) - in_hour
    slots = HOUR_MS // np.maximum(in_hour, 1)
    index = np.arange(first, first + rows)
    hour = np.searchsorted(hour_starts + in_hour, index, side="right")
    slot = slots[hour]
    within = (index - hour_starts[hour]) * slot + (rng.random(rows) * slot).astype(np.int64)
    return START_MS + day * DAY_MS + hour * HOUR_MS + within, hour.astype(np.int8)
