"""What the report of a search says, from frames of trials."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import polars as pl
import pytest
from optuna.trial import TrialState

from mtl_pipeline.evaluation.report.html import to_html
from mtl_pipeline.evaluation.report.markdown import to_markdown
from mtl_pipeline.evaluation.report.tuning import CAUTION, TuningResult, tuning_report
from mtl_pipeline_tests.evaluation.pages import HOSTILE, Page

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


def study_of(rows: list[dict[str, Any]], name: str) -> optuna.Study:
    study = optuna.create_study(study_name=name)
    for row in rows:
        complete = row["state"] == "complete"
        study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.COMPLETE if complete else TrialState.PRUNED,
                value=row["score"] if complete else None,
                params={"learning_rate": row["learning_rate"]},
                distributions={"learning_rate": optuna.distributions.FloatDistribution(0.0001, 1)},
            )
        )
    return study


def html_of(result: TuningResult) -> str:
    return to_html(tuning_report(result))


def markdown_of(result: TuningResult) -> str:
    return to_markdown(tuning_report(result).sections)


def page_of(rows: list[dict[str, Any]]) -> TuningResult:
    return TuningResult(
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
        studies={
            name: study_of([row for row in rows if row["architecture"] == name], name)
            for name in ("shared_bottom", "mmoe")
        },
        limit="20 epochs, with a patience of 4 rounds",
        best="model:\n  hidden: [64, 32]\n",
        fingerprint="ab12",
        seed=0,
    )


@pytest.fixture(scope="module")
def page() -> TuningResult:
    return page_of(trial_rows(12))


def change(page: TuningResult, trial: int, **values: Any) -> TuningResult:
    """Other values for one trial of mmoe."""
    return page_of(
        [
            row | values if (row["architecture"], row["trial"]) == ("mmoe", trial) else row
            for row in page.trials.to_dicts()
        ]
    )


def test_the_verdict_names_the_best_trial_its_distance_and_what_it_is_not_worth_yet(
    page: TuningResult,
) -> None:
    found = change(page, 3, score=0.7)
    text = Page(html_of(found)).text
    assert (
        "The lowest validation score, 0.7000, is that of trial 3 of mmoe: 9.09 % lower than that of the present "
        "settings (0.7700)."
    ) in text
    assert re.search(r"best of shared_bottom shared_bottom \d+ 0\.7\d+ [+−]0\.\d+", text)
    assert CAUTION in text
    assert text.index("Verdict") < text.index(CAUTION) < text.index("What was spent")
    assert "Equal budgets: 12 trials for each architecture" in text


@pytest.mark.parametrize("score", [0.5, 0.77])
def test_where_nothing_is_lower_than_the_present_settings_that_is_said(
    page: TuningResult, score: float
) -> None:
    rows = [row | {"score": max(row["score"], 0.77)} for row in page.trials.drop_nulls("score").to_dicts()]
    text = Page(html_of(change(page_of(rows), 0, score=score))).text
    assert f"No trial has a lower validation score than the present settings ({score:.4f})." in text
    assert f"best of mmoe mmoe 0 {score:.4f} 0.0000" in text


def test_present_settings_that_diverge_are_no_yardstick(page: TuningResult) -> None:
    diverged = change(page, 0, state="diverged", score=None)
    text = Page(html_of(diverged)).text
    assert "Training with the present settings diverged. The lowest validation score," in text
    assert "than the present settings" not in text
    assert "present score" not in diverged.numbers


def test_pruned_and_diverged_trials_are_counted_but_never_the_best(page: TuningResult) -> None:
    text = Page(html_of(change(page, 5, score=0.1))).text
    assert "0.1000" not in text
    assert "mmoe 12 10 1 1 225 360" in text


def test_one_trial_is_enough_for_a_page() -> None:
    single = replace(page_of(trial_rows(1)), importance=page_of(trial_rows(1)).importance.clear())
    html = html_of(single)
    assert "Too few complete trials, or all of the same score, to tell what matters." in Page(html).text
    assert "1 trial for each architecture" in Page(html).text
    assert "Too few complete trials, or all of the same score, to tell what matters." in markdown_of(single)


def test_optuna_s_figures_are_legible_in_light_and_dark(page: TuningResult) -> None:
    html = html_of(page)
    text = Page(html).text
    assert "Scores of the complete trials" in text
    assert "Settings of mmoe" in text
    assert "Objective Value of mmoe" in text
    assert "var(--muted" in html
    assert not re.findall(r"(?:src|href)=.(?!#|data:image/png)", html)


def test_an_architecture_of_which_every_trial_diverged_has_no_figure_of_its_settings() -> None:
    rows = [
        row | ({"state": "diverged", "score": None} if row["architecture"] == "shared_bottom" else {})
        for row in trial_rows(12)
    ]
    text = Page(html_of(page_of(rows))).text
    assert "best of shared_bottom every trial diverged –" in text
    assert "Settings of mmoe" in text
    assert "Settings of shared_bottom" not in text


def test_foreign_text_is_escaped(page: TuningResult) -> None:
    hostile = html_of(replace(page, pipeline=HOSTILE, best=HOSTILE, fingerprint=HOSTILE))
    assert not {"script", "img"} & {tag for tag, _ in Page(hostile).tags}


def test_the_markdown_says_the_same(page: TuningResult) -> None:
    text = markdown_of(page)
    assert text.startswith("## Verdict\n\nThis is no gain yet.")
    assert "- The lowest validation score," in text
    assert "| learning_rate | 60 % | 70 % |" in text
    assert "| mmoe | 12 | 10 | 1 | 1 | 225 | 360 |" in text
    assert "```yaml\nmodel:" in text
