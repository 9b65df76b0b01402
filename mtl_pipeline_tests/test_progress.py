"""Lines about how far long work is."""

from __future__ import annotations

from mtl_pipeline.progress import ProgressLog, time_left


def test_a_line_says_how_much_is_done_how_fast_and_how_long_it_will_still_take() -> None:
    lines: list[str] = []
    progress = ProgressLog(lines.append, "texts")
    progress(10, 200)
    assert lines == [], "not yet"
    progress.started -= 10
    progress.last -= 10
    progress(50, 200)
    progress(200, 200)
    assert lines == ["texts: 50 of 200, 5/s, about 30 s left", "texts: 200 of 200, 20/s"]


def test_time_left_goes_by_the_time_until_now() -> None:
    assert time_left(2, 20, 60, at_most=True) == ", at most 9 min left"
    assert time_left(0, 20, 60) == ""
    assert time_left(20, 20, 60) == ""
