"""Lines about how far long work is."""

from __future__ import annotations

import pytest

from mtl_pipeline.progress import ProgressLog, time_left


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Its only number is what time it is."""
    now = [0.0]
    monkeypatch.setattr("mtl_pipeline.progress.time.monotonic", lambda: now[0])
    return now


def test_a_line_says_how_much_is_done_how_fast_and_how_long_it_will_still_take(clock: list[float]) -> None:
    lines: list[str] = []
    progress = ProgressLog(lines.append, "texts")
    for clock[0], done in ((60, 10), (62, 30), (70, 110), (71, 120), (80, 210)):
        progress(done, 210)
    assert lines == ["texts: 110 of 210, 10/s, about 10 s left", "texts: 210 of 210, 10/s"]


def test_what_is_done_at_once_took_all_the_time(clock: list[float]) -> None:
    lines: list[str] = []
    progress = ProgressLog(lines.append, "texts")
    clock[0] = 2
    progress(10, 10)
    assert lines == ["texts: 10 of 10, 5/s"]


def test_time_left_goes_by_the_time_until_now() -> None:
    assert time_left(2, 20, 60, at_most=True) == ", at most 9 min left"
    assert time_left(0, 20, 60) == ""
    assert time_left(20, 20, 60) == ""
