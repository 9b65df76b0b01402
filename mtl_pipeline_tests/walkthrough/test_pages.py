"""The pages that show commands, followed by somebody who types what they say, in this order.

`make docs` follows all of it and makes the pictures anew; without that, what trains for long is left out.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from mtl_pipeline_tests.conftest import REPOSITORY
from mtl_pipeline_tests.walkthrough.pages import Checkout

DOCS = REPOSITORY / "docs"
FULL = "DOCS" in os.environ
WIDTH, MARGIN = 1040, 20


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout.make(tmp_path_factory.mktemp("checkout") / "mtl_pipeline")


def test_the_walkthrough_shows_what_its_reader_sees(checkout: Checkout) -> None:
    checkout.follow(DOCS / "walkthrough.md", full=FULL)
    assert (checkout.root / "data/sales/evaluation/report.html").exists()
    assert (checkout.root / "data/sales/recommendations.parquet").exists() == FULL


def test_the_report_says_what_the_walkthrough_reads_in_it(checkout: Checkout, browser: Any) -> None:
    shown = photograph(browser, checkout.root / "data/sales/evaluation/report.html", "verdict", "Promotion")
    assert "it is better than constant, popularity" in shown


@pytest.mark.skipif(not FULL, reason="nobody is recommended anything after a first look: make docs")
def test_the_lists_are_made_by_the_score_of_the_walkthrough(checkout: Checkout, browser: Any) -> None:
    page = checkout.root / "data/sales/recommendations_report/report.html"
    shown = photograph(browser, page, "recommendations", None)
    assert '"bought" * (1 - "returned")' in shown
    assert "Every figure is within its bounds." in shown


def test_files_of_other_shapes_are_read_as_their_page_says(checkout: Checkout) -> None:
    checkout.follow(DOCS / "raw-shapes.md", full=FULL)


@pytest.mark.skipif(not FULL, reason="trains: make docs")
def test_new_data_make_again_what_their_page_says(checkout: Checkout) -> None:
    checkout.follow(DOCS / "new-data.md", full=FULL)


def photograph(browser: Any, page: Path, picture: str, end: str | None) -> str:
    """The page down to a heading, as a picture of the docs where they are followed in full. Returns what it says."""
    metrics = {"width": WIDTH, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(page.as_uri())
    below = (
        "return [...document.querySelectorAll('h2')].find(h => h.textContent == arguments[0])?.offsetTop "
        "?? document.documentElement.scrollHeight"
    )
    clip = {"x": 0, "y": 0, "width": WIDTH, "height": browser.execute_script(below, end) - MARGIN, "scale": 1}
    options = {"clip": clip, "captureBeyondViewport": True}
    taken = base64.b64decode(browser.execute_cdp_cmd("Page.captureScreenshot", options)["data"])
    assert taken.startswith(b"\x89PNG")
    if FULL:
        (DOCS / "pictures").mkdir(exist_ok=True)
        (DOCS / "pictures" / f"{picture}.png").write_bytes(taken)
    return browser.execute_script("return document.body.innerText")
