"""What the report of a search says, from frames of trials."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from mtl_pipeline.evaluation.report.tuning_report import CAUTION, TuningPage, render_markdown, render_page
from mtl_pipeline_tests.evaluation.test_report import HOSTILE, Page

STATES = {5: "pruned", 7: "diverged"}


def trial_rows(trials: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    rows = []
    for architecture, offset in (("shared_bottom", 0.01), ("mmoe", 0.0)):
        for trial in range(trials):
            state = STATES.get(trial, "complete")
            score = None if state == "diverged" else 0.77 + offset + rng.normal(0, 0.01) * (trial > 0)
            rows.append(
                {
                    "architecture": architecture,
                    "trial": trial,
                    "state": state,
                    "present": architecture == "mmoe" and trial == 0,
                    "score": score,
                    "score/click": score,
                    "score/rating": score,
                    "learning_rate": 0.001 * (trial + 1),
                    "hidden": "64, 32",
                    "experts": 4 if architecture == "mmoe" else None,
                    "rounds": 5 if state == "pruned" else 20,
                    "seconds": 30.0,
                    "parameters": 12_345 if state == "complete" else None,
                }
            )
    return rows


def page_of(rows: list[dict[str, Any]]) -> TuningPage:
    return TuningPage(
        pipeline="movielens",
        created_at="2026-11-24T02:00:00+00:00",
        trials=pl.DataFrame(rows, infer_schema_length=None),
        importance=pl.DataFrame(
            [
                ("mmoe", "learning_rate", 0.7),
                ("mmoe", "experts", 0.1),
                ("shared_bottom", "learning_rate", 0.6),
            ],
            schema=["architecture", "setting", "importance"],
            orient="row",
        ),
        present_architecture="mmoe",
        limit="20 epochs, with a patience of 4 rounds",
        best="model:\n  hidden: [64, 32]\n",
        fingerprint="ab12",
        seed=0,
    )


@pytest.fixture(scope="module")
def page() -> TuningPage:
    return page_of(trial_rows(12))


def change(page: TuningPage, trial: int, **values: Any) -> TuningPage:
    """Other values for one trial of mmoe."""
    return page_of(
        [
            row | values if (row["architecture"], row["trial"]) == ("mmoe", trial) else row
            for row in page.trials.to_dicts()
        ]
    )


def test_the_verdict_names_the_best_trial_its_distance_and_what_it_is_not_worth_yet(page: TuningPage) -> None:
    found = change(page, 3, score=0.7)
    text = Page(render_page(found)).text
    assert (
        "The lowest validation score, 0.7000, is that of trial 3 of mmoe: 9.09 % lower than that of the present "
        "settings (0.7700)."
    ) in text
    assert re.search(
        r"shared_bottom: at the lowest 0\.7\d+ \(trial \d+\), \d\.\d\d % (lower|higher) than", text
    )
    assert CAUTION in text
    assert text.index("Verdict") < text.index(CAUTION) < text.index("What was spent")
    assert "Equal budgets: 12 trials for each architecture" in text


@pytest.mark.parametrize("score", [0.5, 0.77])
def test_where_nothing_is_lower_than_the_present_settings_that_is_said(
    page: TuningPage, score: float
) -> None:
    rows = [row | {"score": max(row["score"], 0.77)} for row in page.trials.drop_nulls("score").to_dicts()]
    text = Page(render_page(change(page_of(rows), 0, score=score))).text
    assert f"No trial has a lower validation score than the present settings ({score:.4f})." in text
    assert f"mmoe: nothing lower than the present settings, {score:.4f}." in text


def test_present_settings_that_diverge_are_no_yardstick(page: TuningPage) -> None:
    diverged = change(page, 0, state="diverged", score=None)
    text = Page(render_page(diverged)).text
    assert "Training with the present settings diverged. The lowest validation score," in text
    assert "than the present settings" not in text
    assert "present score" not in diverged.numbers


def test_pruned_and_diverged_trials_are_counted_but_never_the_best(page: TuningPage) -> None:
    text = Page(render_page(change(page, 5, score=0.1))).text
    assert "0.1000" not in text
    assert "mmoe 12 10 1 1 225 360" in text


def test_one_trial_is_enough_for_a_page() -> None:
    single = replace(page_of(trial_rows(1)), importance=page_of(trial_rows(1)).importance.clear())
    html = render_page(single)
    assert "Too few complete trials, or all of the same score, to tell what matters." in Page(html).text
    assert "1 trial for each architecture" in Page(html).text
    assert "Too few complete trials, or all of the same score, to tell what matters." in render_markdown(
        single
    )


def test_the_figure_names_its_axes_and_follows_the_colours_of_the_page(page: TuningPage) -> None:
    html = render_page(page)
    text = Page(html).text
    assert "trial of the architecture (number)" in text
    assert "validation score (loss / loss of a constant)" in text
    assert "var(--accent" in html
    assert not re.findall(r"(?:src|href)=[\"'](?!#)", html)


def test_foreign_text_is_escaped(page: TuningPage) -> None:
    hostile = render_page(replace(page, pipeline=HOSTILE, best=HOSTILE, fingerprint=HOSTILE))
    assert not {"script", "img"} & {tag for tag, _ in Page(hostile).tags}


def test_the_markdown_says_the_same(page: TuningPage) -> None:
    text = render_markdown(page)
    assert text.startswith("## Verdict\n\n- The lowest validation score,")
    assert "| learning_rate | 60 % | 70 % |" in text
    assert "| mmoe | 12 | 10 | 1 | 1 | 225 | 360 |" in text
    assert "```yaml\nmodel:" in text
