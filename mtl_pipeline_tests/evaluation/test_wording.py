from __future__ import annotations

import math

import pytest

from mtl_pipeline.evaluation.formatting import MISSING, format_difference, format_value
from mtl_pipeline.evaluation.inference.intervals import BETTER, INCOMPARABLE, UNDECIDED, WORSE
from mtl_pipeline.evaluation.report.wording import overall_sentence, verdict_sentence


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.85312, "0.853"), (12.3456, "12.35"), (1234.5, "1,234"), (-0.5, "−0.500"), (math.nan, MISSING)],
)
def test_values_show_about_four_digits(value: float, text: str) -> None:
    assert format_value(value) == text


def test_differences_show_on_which_side_of_zero_they_end() -> None:
    assert format_difference(0.012, 0.008, 0.016) == ("+0.012", "[+0.008, +0.016]")
    assert format_difference(0.0031, 0.00004, 0.0062) == ("+0.00310", "[+0.00004, +0.00620]")
    assert format_difference(-0.0030, -0.0064, 0.0003) == ("−0.0030", "[−0.0064, +0.0003]")
    assert format_difference(0.0, 0.0, 0.0) == ("0.000", "[0.000, 0.000]")
    assert format_difference(0.2, math.nan, math.nan) == ("+0.200", MISSING)
    assert format_difference(math.nan, math.nan, math.nan) == (MISSING, MISSING)


def test_the_sentence_says_first_what_speaks_against_the_candidate() -> None:
    outcomes = {"constant": BETTER, "popularity": BETTER, "linear": WORSE, "single_task": UNDECIDED}
    assert verdict_sentence("rating", "multi_task", outcomes) == (
        "On rating, multi_task is worse than linear; it shows no difference from single_task; "
        "it is better than constant and popularity."
    )


def test_better_than_all_is_said_only_then() -> None:
    assert "every baseline" in verdict_sentence("t", "m", {"a": BETTER, "b": BETTER})
    assert "every baseline" not in verdict_sentence("t", "m", {"a": BETTER, "b": UNDECIDED})


def test_what_could_not_be_measured_is_not_called_equal() -> None:
    sentence = verdict_sentence("t", "m", {"a": INCOMPARABLE})
    assert sentence == "On t, m cannot be compared with a."


def test_a_champion_is_no_baseline() -> None:
    outcomes = {"linear": BETTER, "constant": BETTER, "champion": UNDECIDED}
    assert verdict_sentence("t", "m", outcomes) == (
        "On t, m is better than every baseline. It shows no difference from the champion."
    )
    assert verdict_sentence("t", "m", {"champion": WORSE}) == (
        "On t, m has no baseline to be compared with. It is worse than the champion."
    )


def test_comparisons_with_the_champion_are_counted_apart() -> None:
    by_task = [{"linear": BETTER, "champion": WORSE}, {"constant": BETTER}]
    assert overall_sentence("m", by_task) == (
        "In 2 comparisons with baselines on the tasks' headline metrics, m is better in 2, worse in 0 and shows no "
        "difference in 0. In 1 comparison with the champion on the tasks' headline metrics, it is better in 0, worse "
        "in 1 and shows no difference in 0."
    )
    assert "champion" not in overall_sentence("m", by_task[1:])
