"""Scores of windows, their averages and intervals, and the page about them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from mtl_pipeline.evaluation.inference.intervals import BETTER, UNDECIDED, WORSE
from mtl_pipeline.evaluation.report.backtest import backtest_report
from mtl_pipeline.evaluation.report.html import to_html
from mtl_pipeline.evaluation.report.markdown import to_markdown
from mtl_pipeline.evaluation.studies.runs.backtest import (
    BEST_BASELINE,
    NOT_SCORED,
    BacktestResult,
    WindowScores,
    score_window,
)
from mtl_pipeline.evaluation.studies.runs.backtest import pool_windows as pool_all
from mtl_pipeline.evaluation.studies.scoring import evaluate
from mtl_pipeline.spec import Task

USERS = 40
SAMPLES = 200
TASKS = (
    Task(name="click", kind="binary"),
    Task(name="stars", kind="regression", given="click"),
)
NOISE = {"constant": None, "linear": 0.8, "single_task": 0.3, "multi_task": 0.3}


def window_frame(
    window: int, *, users: bool = True, noise: dict | None = None, rows: int = 1_200
) -> pl.DataFrame:
    """Validation and test rows; multi_task is better than linear, and as good as single_task."""
    rng = np.random.default_rng(window)
    appeal = rng.normal(size=rows)
    click = rng.random(rows) < 1 / (1 + np.exp(-2 * appeal))
    columns: dict = {
        "example_id": np.arange(rows) + window * rows,
        "split": np.repeat(["validation", "test"], rows // 2),
        "label/click": click.astype(float),
        "label/stars": np.where(click, 3 + appeal, np.nan),
    }
    if users:
        columns["user_id"] = rng.integers(USERS, size=rows) + 5 * window
    for model, much in (noise or NOISE).items():
        believed = np.zeros(rows) if much is None else appeal + much * rng.normal(size=rows)
        columns[f"prediction/{model}/click"] = 1 / (1 + np.exp(-believed))
        columns[f"prediction/{model}/stars"] = 3 + believed
    return pl.DataFrame(columns).with_columns(pl.col("label/stars").fill_nan(None))


def scored(frames: list[pl.DataFrame], *, users: bool = True, seed: int = 0) -> WindowScores:
    known = None
    if users:
        tested = pl.concat([frame.filter(split="test").select("user_id") for frame in frames])
        known = tested["user_id"].unique().sort()
    windows = [
        score_window(frame, TASKS, window=place + 1, users=known, bootstrap_samples=SAMPLES, seed=seed)
        for place, frame in enumerate(frames)
    ]
    return WindowScores.together(windows)


def pool_windows(scores: WindowScores, tasks: tuple[Task, ...], users: bool = True) -> pl.DataFrame:
    return pool_all(scores, tasks, resampled="users" if users else "rows")


@pytest.fixture(scope="module")
def three_windows() -> WindowScores:
    return scored([window_frame(window) for window in (1, 2, 3)])


def test_a_window_is_scored_as_an_evaluation_scores_it(three_windows: WindowScores) -> None:
    alone = evaluate(window_frame(2), TASKS, bootstrap_samples=SAMPLES)
    of_window = three_windows.metrics.filter(pl.col("window") == 2).drop("window")
    assert of_window.equals(alone.metrics.select(of_window.columns))
    compared = three_windows.comparisons.filter(pl.col("window") == 2).drop("window", "best_baseline")
    assert compared.equals(alone.comparisons.select(compared.columns))


def test_means_count_each_window_the_same(three_windows: WindowScores) -> None:
    pooled = pool_windows(three_windows, TASKS)
    row = pooled.filter(task="click", metric="roc_auc", baseline="linear").row(0, named=True)
    single = three_windows.comparisons.filter(task="click", metric="roc_auc", baseline="linear")["difference"]
    assert row["difference"] == pytest.approx(single.mean())
    assert (row["least"], row["greatest"]) == (single.min(), single.max())
    assert row["low"] < row["difference"] < row["high"]
    assert row["verdict"] == BETTER
    assert (row["better"], row["worse"], row["undecided"], row["windows"]) == (3, 0, 0, 3)


def test_the_mean_is_known_better_than_one_window(three_windows: WindowScores) -> None:
    pooled = pool_windows(three_windows, TASKS).filter(task="click", metric="roc_auc", baseline="single_task")
    single = three_windows.comparisons.filter(task="click", metric="roc_auc", baseline="single_task")
    widths = single["high"] - single["low"]
    width = (pooled["high"] - pooled["low"]).item()
    assert 0.4 * widths.mean() < width < 0.9 * widths.mean()  # type: ignore[operator]
    assert pooled["verdict"].item() == UNDECIDED


def test_a_user_counts_the_same_in_every_window() -> None:
    """The same window three times over, with the same users, is known no better than once."""
    once = scored([window_frame(1)])
    thrice = scored([window_frame(1)] * 3)
    columns = ["task", "metric", "baseline", "low", "high"]
    one, three = (pool_windows(scores, TASKS).select(columns) for scores in (once, thrice))
    assert one.select(columns[:3]).equals(three.select(columns[:3]))
    np.testing.assert_allclose(one.select("low", "high"), three.select("low", "high"), atol=1e-12)


def test_rows_of_different_windows_are_drawn_apart_where_there_are_no_users() -> None:
    once = scored([window_frame(1, users=False)], users=False)
    thrice = scored([window_frame(1, users=False)] * 3, users=False)
    (one, three) = (
        (frame["high"] - frame["low"]).item()
        for frame in (
            pool_windows(scores, TASKS, users=False).filter(
                task="click", metric="log_loss", baseline="linear"
            )
            for scores in (once, thrice)
        )
    )
    assert three == pytest.approx(one / np.sqrt(3), rel=0.25)


def test_the_best_baseline_is_chosen_on_validation_rows(three_windows: WindowScores) -> None:
    best = three_windows.comparisons.filter("best_baseline")
    assert set(best["baseline"]) == {"linear"}
    pooled = pool_windows(three_windows, TASKS)
    columns = ["difference", "low", "high", "verdict"]
    named, chosen = (
        pooled.filter(task="stars", metric="rmse", baseline=name).select(columns)
        for name in ("linear", BEST_BASELINE)
    )
    assert named.equals(chosen)


def test_the_same_seed_gives_the_same(three_windows: WindowScores) -> None:
    again = scored([window_frame(window) for window in (1, 2, 3)])
    assert pool_windows(again, TASKS).equals(pool_windows(three_windows, TASKS))
    other = scored([window_frame(window) for window in (1, 2, 3)], seed=1)
    assert not pool_windows(other, TASKS).equals(pool_windows(three_windows, TASKS))


def without_labels(frame: pl.DataFrame) -> pl.DataFrame:
    """No test label of stars, and one class only of click."""
    test = pl.col("split") == "test"
    return frame.with_columns(
        pl.when(test).then(None).otherwise("label/stars").alias("label/stars"),
        pl.when(test).then(1.0).otherwise("label/click").alias("label/click"),
    )


def test_a_window_without_labels_is_left_out_of_the_mean_with_a_note() -> None:
    scores = scored([window_frame(1), without_labels(window_frame(2)), window_frame(3)])
    pooled = pool_windows(scores, TASKS)
    stars = pooled.filter(task="stars", metric="rmse", baseline="single_task").row(0, named=True)
    assert stars["windows"] == 2
    assert stars["note"] == "without window 2"
    assert np.isfinite([stars["difference"], stars["low"], stars["high"]]).all()
    missing = scores.metrics.filter(window=2, task="stars", split="test")
    assert missing["value"].is_nan().all()
    assert (missing["note"] != "").all()
    clicks = scores.metrics.filter(window=2, task="click", split="test", metric="roc_auc")
    assert clicks["value"].is_nan().all()
    assert "only one class" in clicks["note"][0]
    page = page_of(scores, windows=3)
    assert "Nothing can be said of 1." in markdown_of(page)
    assert "window 2: " in html_of(page)


def test_no_window_with_a_score() -> None:
    scores = scored([without_labels(window_frame(window)) for window in (1, 2)])
    pooled = pool_windows(scores, TASKS)
    assert pooled.filter(task="stars")["difference"].is_nan().all()
    assert set(pooled.filter(task="stars")["verdict"]) == {NOT_SCORED}
    page = page_of(scores, windows=2)
    text = markdown_of(page)
    assert "Nothing can be said of 2." in text
    assert "On average over those of 2 windows that could be scored" in text
    assert "shows no difference on 0 of 2 tasks, and nothing can be said of 2" in text
    assert html_of(page).count("<figure>") == 1


def html_of(result: BacktestResult) -> str:
    return to_html(backtest_report(result))


def markdown_of(result: BacktestResult) -> str:
    return to_markdown(backtest_report(result).sections)


def page_of(
    scores: WindowScores, *, windows: int, folded: bool = False, name: str = "shop"
) -> BacktestResult:
    start = datetime(2026, 1, 1)
    rows = [
        {
            "window": window,
            "is_test_split": window == windows and not folded,
            **{
                key: value
                for place, split in enumerate(("train", "validation", "test"))
                for key, value in (
                    (f"{split}_rows", 1000 + 100 * window),
                    (f"{split}_start", None if folded else start + timedelta(days=10 * window + 5 * place)),
                    (f"{split}_end", None if folded else start + timedelta(days=10 * window + 5 * place + 4)),
                )
            },
            "best_epoch": 2.5,
            "seconds": 12.3,
        }
        for window in range(1, windows + 1)
    ]
    return BacktestResult(
        pipeline=name,
        created_at="2026-02-01T00:00:00+00:00",
        tasks=TASKS,
        windows=pl.DataFrame(rows),
        scores=scores,
        pooled=pool_windows(scores, TASKS),
        training="expanding",
        hash_by=["town"] if folded else (),
        bootstrap_samples=SAMPLES,
        seed=0,
        resampled="users",
        fingerprint="abc",
        resumed=0,
    )


def test_the_verdict_is_in_words(three_windows: WindowScores) -> None:
    text = markdown_of(page_of(three_windows, windows=3))
    assert (
        "On click, multi_task is better than the best baseline (linear) in 3 of 3 windows, worse in 0, and in 0 no "
        "difference is shown."
    ) in text
    assert (
        "On average over 3 windows, each trained and tested anew, this holds of multi_task: against single_task it is "
        "better on 0, worse on 0 and shows no difference on 2 of 2 tasks; against the best baseline it is better on 2"
    ) in text


def test_a_worse_candidate_is_called_worse() -> None:
    noise = NOISE | {"multi_task": 2.0}
    scores = scored([window_frame(window, noise=noise) for window in (1, 2)])
    row = (
        pool_windows(scores, TASKS).filter(task="stars", metric="rmse", baseline="linear").row(0, named=True)
    )
    assert (row["verdict"], row["worse"]) == (WORSE, 2)
    assert row["difference"] > 0


@pytest.mark.parametrize("folded", [False, True])
def test_the_page_is_self_contained_and_escaped(three_windows: WindowScores, folded: bool) -> None:
    page = html_of(page_of(three_windows, windows=3, folded=folded, name="<b>shop</b>"))
    assert "<b>shop" not in page
    assert not re.search(r"(src|href)=.(?!#)|<script|@import", page)
    assert page.count("<figure>") == page.count("<svg ") == 5
    identifiers = re.findall(r' id="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))
    assert ("cross-validation" in page) == folded
