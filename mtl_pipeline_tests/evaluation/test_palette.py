from __future__ import annotations

import pytest

from mtl_pipeline.evaluation.report.figures.palette import DARK, LIGHT, colour_names
from mtl_pipeline.evaluation.report.figures.task_figures import MOST_ALPHA


def test_light_and_dark_name_the_same_colours() -> None:
    assert LIGHT.keys() == DARK.keys()
    assert len(set(LIGHT.values())) == len(LIGHT)  # a figure's colours are told apart by value


def test_the_candidate_has_the_accent_and_baselines_do_not_share_a_colour() -> None:
    names = colour_names(
        ["constant", "popularity", "linear", "boosted", "single_task", "multi_task"], "multi_task"
    )
    assert names["multi_task"] == "accent"
    assert colour_names(["linear", "multi_task", "ceiling"], "multi_task")["ceiling"] == "ink"
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["ink", "muted", "better", "worse", "undecided", "accent"])
def test_text_colours_are_legible(colours: dict[str, str], name: str) -> None:
    """Contrast of at least 4.5 : 1, level AA of the Web Content Accessibility Guidelines."""
    for background in ("paper", "panel"):
        assert contrast(channels(colours[name]), channels(colours[background])) >= 4.5


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_numbers_in_the_fullest_cell_of_a_confusion_matrix_are_legible(colours: dict[str, str]) -> None:
    accent, paper = channels(colours["accent"]), channels(colours["paper"])
    cell = [MOST_ALPHA * above + (1 - MOST_ALPHA) * below for above, below in zip(accent, paper, strict=True)]
    assert contrast(channels(colours["ink"]), cell) >= 4.5


def contrast(one: list[float], other: list[float]) -> float:
    darker, lighter = sorted([luminance(one), luminance(other)])
    return (lighter + 0.05) / (darker + 0.05)


def channels(colour: str) -> list[float]:
    """'#rrggbb' as red, green and blue from 0 to 1."""
    return [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]


def luminance(colour: list[float]) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
