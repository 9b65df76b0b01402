"""The report in a real browser: light and dark, wide and narrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mtl_pipeline.evaluation.facts import Facts
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.figures.palette import DARK, LIGHT
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.spec import Task
from mtl_pipeline_tests.evaluation.pages import LOG, explaining_frames, html_of

NARROW, WIDE = 360, 1280


@pytest.fixture(scope="module", params=["chain", "counts and classes"])
def page(
    request: pytest.FixtureRequest,
    evaluation: Evaluation,
    predictions: pl.DataFrame,
    other_evaluation: Evaluation,
    other_predictions: pl.DataFrame,
    training_log: list[dict[str, float]],
    measured: pl.DataFrame,
    ranking: pl.DataFrame,
    slices: pl.DataFrame,
    tasks: list[Task],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    facts = Facts(
        rejected_rows={"a reason without any blank " + "x" * 200: 1},
        fingerprints={"model": "9f2c" * 16},
        versions={"torch": "2.13.0"},
    )
    scored, frame = (
        (evaluation, predictions) if request.param == "chain" else (other_evaluation, other_predictions)
    )
    parts: dict[str, pl.DataFrame] = {}
    if request.param == "chain":
        parts = {"slices": measured, "ranking": ranking, **explaining_frames(predictions, tasks, slices)}
    path = tmp_path_factory.mktemp("report") / "report.html"
    log = [*training_log, *LOG]
    context = ReportContext("y" * 120, frame, log, facts, "key: " + "z" * 300, parts=parts)
    path.write_text(html_of(scored, context, figures=True))
    return path


def open_page(browser: Any, page: Path, width: int, scheme: str) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == NARROW}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(page.as_uri())


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_only_tables_scroll_sideways_never_the_page(browser: Any, page: Path, width: int) -> None:
    open_page(browser, page, width, "light")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    overflowing = browser.execute_script(
        "return [...document.querySelectorAll('p, li, h1, h2, h3, figure, dl, figcaption')]"
        f".filter(element => element.getBoundingClientRect().right > {width}).map(element => element.textContent)"
    )
    assert overflowing == []


@pytest.mark.parametrize(("scheme", "colours"), [("light", LIGHT), ("dark", DARK)])
def test_text_tables_and_figures_take_the_colours_of_the_scheme(
    browser: Any, page: Path, scheme: str, colours: dict[str, str]
) -> None:
    open_page(browser, page, WIDE, scheme)
    shown = browser.execute_script(
        "const of = (selector, property) => getComputedStyle(document.querySelector(selector))[property];"
        "return [of('body', 'backgroundColor'), of('body', 'color'), of('svg text', 'fill')]"
    )
    assert shown[:2] == [rgb(colours["paper"]), rgb(colours["ink"])]
    assert shown[2] in (rgb(colours["ink"]), rgb(colours["muted"]))


def test_folded_the_page_is_at_most_six_screens_tall_and_its_contents_stay_in_sight(
    browser: Any, page: Path
) -> None:
    open_page(browser, page, WIDE, "light")
    assert browser.execute_script("return document.documentElement.scrollHeight") <= 6 * 900
    browser.execute_script("window.scrollTo(0, 2000)")
    assert browser.execute_script("return document.querySelector('nav').getBoundingClientRect().top") == 0


def test_the_browser_has_nothing_to_complain_about(browser: Any, page: Path) -> None:
    open_page(browser, page, WIDE, "light")
    assert browser.get_log("browser") == []
    figures = browser.execute_script("return document.querySelectorAll('figure').length")
    assert figures > 3
    assert browser.execute_script("return document.querySelectorAll('figure svg').length") == figures


def test_on_a_wide_screen_no_table_needs_to_scroll(browser: Any, page: Path) -> None:
    open_page(browser, page, WIDE, "light")
    hidden = browser.execute_script(
        "return [...document.querySelectorAll('section > .scroll > table')]"
        ".filter(table => table.scrollWidth > table.parentElement.clientWidth).length"
    )
    assert hidden == 0


def rgb(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgb({red}, {green}, {blue})"
