"""When the newest model becomes champion."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from mtl_pipeline.champions import Decision
from mtl_pipeline.evaluation.promotion import decide, on_unseen_rows
from mtl_pipeline.evaluation.report import ReportContext, render_report
from mtl_pipeline.evaluation.scoring import Evaluation, evaluate
from mtl_pipeline.spec import PipelineSpec, Task
from mtl_pipeline_tests.evaluation.test_report import HOSTILE, Page

SMALL = 10_000
ALL_ROWS = pl.lit(True)


@pytest.fixture(scope="module")
def small(predictions: pl.DataFrame) -> pl.DataFrame:
    """5,000 validation and 5,000 test rows with times."""
    rows = pl.concat([predictions[: SMALL // 2], predictions[-SMALL // 2 :]])
    start = datetime(2026, 1, 1)
    times = [start + timedelta(minutes=minute) for minute in range(SMALL)]
    return rows.with_columns(pl.Series("timestamp", times))


def against(small: pl.DataFrame, model: str, noise: float = 0.0) -> pl.DataFrame:
    """The frame with a champion that predicts as `model` does, give or take."""
    rng = np.random.default_rng(5)
    return small.with_columns(
        (pl.col(f"prediction/{model}/{task}") + noise * pl.Series(rng.normal(size=len(small))))
        .clip(0.001, 0.999 if task != "rating" else 6)
        .alias(f"prediction/champion/{task}")
        for task in ("watched", "liked", "rating")
    )


def decided(frame: pl.DataFrame, tasks: list[Task], unseen: pl.Expr = ALL_ROWS, **margins: float) -> Decision:
    spec = PipelineSpec(tasks=tasks, promotion={"margins": margins})  # type: ignore[arg-type]
    measured = evaluate(frame, tasks, bootstrap_samples=100)
    compared, window = on_unseen_rows(measured, frame, unseen)
    return decide(spec, measured, compared, challenger="new", champion="old", window=window)


def test_a_better_challenger_is_promoted(small: pl.DataFrame, tasks: list[Task]) -> None:
    decision = decided(against(small, "popularity"), tasks)
    assert decision.promote
    assert [line.outcome for line in decision.comparisons] == ["better"] * 3


def test_an_equal_challenger_is_promoted_for_it_has_newer_data(
    small: pl.DataFrame, tasks: list[Task]
) -> None:
    assert decided(against(small, "multi_task", noise=0.001), tasks).promote


def test_worse_on_one_task_is_enough_to_be_refused(small: pl.DataFrame, tasks: list[Task]) -> None:
    """The champion knows nearly what happened on `rating`, and nothing more than the challenger elsewhere."""
    frame = against(small, "multi_task").with_columns(
        pl.coalesce("label/rating", "prediction/multi_task/rating").alias("prediction/champion/rating")
    )
    decision = decided(frame, tasks)
    assert not decision.promote
    (reason,) = decision.reasons
    assert reason.startswith("rating: its RMSE is ")
    assert [line.outcome for line in decision.comparisons] == [
        "not shown to be worse",
        "not shown to be worse",
        "worse",
    ]


def test_what_is_allowed_decides(small: pl.DataFrame, tasks: list[Task]) -> None:
    frame = against(small, "multi_task").with_columns(
        pl.col("prediction/popularity/watched").alias("prediction/multi_task/watched")
    )
    assert not decided(frame, tasks).promote
    assert decided(frame, tasks, watched=0.5).promote


def test_a_challenger_no_better_than_a_constant_is_refused(small: pl.DataFrame, tasks: list[Task]) -> None:
    frame = small.with_columns(
        (1 - pl.col("prediction/multi_task/watched")).alias("prediction/multi_task/watched")
    )
    measured = evaluate(frame, tasks, bootstrap_samples=5)
    first = decide(PipelineSpec(tasks=tasks), measured, None, challenger="new", champion=None)
    assert (first.promote, first.usable) == (False, False)
    assert first.reasons[0].startswith("watched: on validation its log-loss before calibration")


@pytest.mark.parametrize(
    ("label", "why"),
    [
        (pl.lit(0.0), "only one class: every observed label is 0"),
        (pl.lit(None, pl.Float64), "no row with an observed label"),
    ],
    ids=["one class", "no label"],
)
def test_a_validation_split_that_says_nothing_is_the_reason_given(
    small: pl.DataFrame, tasks: list[Task], label: pl.Expr, why: str
) -> None:
    """Rather than that the model was no better than a constant, which such rows cannot tell."""
    blind = pl.when(pl.col("split") == "validation").then(label).otherwise("label/watched")
    measured = evaluate(small.with_columns(blind.alias("label/watched")), tasks, bootstrap_samples=5)
    decision = decide(PipelineSpec(tasks=tasks), measured, None, challenger="new", champion=None)
    assert not decision.promote
    assert decision.reasons == [
        f"watched: whether it has learned anything cannot be said from the validation rows: {why}. Look at the check "
        "labels_vary_in_validation_and_test of examples."
    ]


def test_a_task_that_cannot_be_compared_speaks_against_promotion(
    small: pl.DataFrame, tasks: list[Task]
) -> None:
    frame = against(small, "multi_task").with_columns(
        pl.when(pl.col("split") == "test").then(0.0).otherwise(pl.col("label/watched")).alias("label/watched")
    )
    decision = decided(frame, tasks)
    assert not decision.promote
    assert decision.reasons[0].startswith("watched: the two cannot be compared in ROC-AUC")


def test_only_rows_that_the_champion_has_not_seen_are_compared(
    small: pl.DataFrame, tasks: list[Task]
) -> None:
    """The champion knows the labels of the rows that it has seen, and nothing of the others."""
    seen = pl.col("timestamp") < small["timestamp"][SMALL * 3 // 4]
    frame = against(small, "popularity").with_columns(
        pl.when(seen & (pl.col("split") == "test") & pl.col(f"label/{task}").is_not_null())
        .then(pl.col(f"label/{task}"))
        .otherwise(pl.col(f"prediction/champion/{task}"))
        .alias(f"prediction/champion/{task}")
        for task in ("watched", "liked", "rating")
    )
    assert not decided(frame, tasks).promote
    fair = decided(frame, tasks, unseen=~seen)
    assert fair.promote
    assert fair.window.startswith("The champion may have been trained on 2,500 of the 5,000 test rows")


def test_a_champion_that_has_seen_every_row_stays(small: pl.DataFrame, tasks: list[Task]) -> None:
    decision = decided(against(small, "popularity"), tasks, unseen=pl.lit(False))
    assert not decision.promote
    assert "no row with an observed label" in decision.reasons[0]


def test_what_was_rolled_back_from_is_not_promoted_again(evaluation: Evaluation, tasks: list[Task]) -> None:
    spec = PipelineSpec(tasks=tasks)
    decision = decide(
        spec, evaluation, None, challenger="new", champion=None, rolled_back_at="2026-11-24T02:00:00+00:00"
    )
    assert not decision.promote
    assert "rolled back from on 2026-11-24" in decision.reasons[0]


def test_a_champion_that_cannot_predict_any_more_gives_way(evaluation: Evaluation, tasks: list[Task]) -> None:
    decision = decide(
        PipelineSpec(tasks=tasks), evaluation, None, challenger="new", champion="old", obstacle="other tasks"
    )
    assert (decision.promote, decision.usable) == (True, False)
    assert decision.reasons[0] == "The champion old cannot be compared: other tasks."


def test_the_report_says_what_was_decided_and_escapes_it(small: pl.DataFrame, tasks: list[Task]) -> None:
    frame = against(small, "popularity")
    decision = decided(frame, tasks)
    decision.reasons.append(HOSTILE)
    measured = evaluate(frame, tasks, bootstrap_samples=5)
    html = render_report(measured, ReportContext("movielens", frame, decision=decision))
    text = Page(html).text
    assert text.index("The challenger becomes the champion.") < text.index("Models side by side")
    assert "better" in text[text.index("Promotion") : text.index("All 5,000 test rows")]
    assert "<script>alert" not in html
    markdown = measured.to_markdown(decision)
    assert "**The challenger becomes the champion.**" in markdown
    assert "<script>" not in markdown


def test_margins_name_tasks(tasks: list[Task]) -> None:
    with pytest.raises(ValueError, match="margins names 'clicks'; the tasks are: watched, liked, rating"):
        PipelineSpec(tasks=tasks, promotion={"margins": {"clicks": 0.1}})  # type: ignore[arg-type]
    spec = PipelineSpec(tasks=tasks, promotion={"margins": {"rating": 0.1}})  # type: ignore[arg-type]
    assert spec.margin(tasks[0], 0.8) == 0.002
    assert spec.margin(tasks[2], 2.0) == pytest.approx(0.2)
