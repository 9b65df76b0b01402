"""When the newest model becomes champion."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from mtl_pipeline.champions import Decision
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.studies.runs.promotion import Earlier, against_earlier, decide, on_unseen_rows
from mtl_pipeline.evaluation.studies.scoring import Evaluation, evaluate
from mtl_pipeline.spec import PipelineSpec, Task
from mtl_pipeline_tests.evaluation.pages import HOSTILE, Page, html_of, markdown_of

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


def outcomes(decision: Decision, against: str = "champion") -> list[str]:
    return [line.outcome for line in decision.comparisons if line.against == against]


def test_a_better_challenger_is_promoted(small: pl.DataFrame, tasks: list[Task]) -> None:
    decision = decided(against(small, "popularity"), tasks)
    assert decision.promote
    assert outcomes(decision, "constant") == outcomes(decision) == ["better"] * 3


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
    assert reason.startswith("rating: its RMSE on the test rows is ")
    assert outcomes(decision) == [
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


def first_night(frame: pl.DataFrame, tasks: list[Task]) -> Decision:
    measured = evaluate(frame, tasks, bootstrap_samples=100)
    return decide(PipelineSpec(tasks=tasks), measured, None, challenger="new", champion=None)


def answers(small: pl.DataFrame, watched: pl.Expr) -> pl.DataFrame:
    """The frame with a challenger that gives other answers for `watched`."""
    return small.with_columns(watched.alias("prediction/multi_task/watched"))


WATCHED = pl.col("prediction/multi_task/watched")
CONSTANT = pl.col("prediction/constant/watched")


@pytest.mark.parametrize(
    ("watched", "outcome"),
    [
        (1 - WATCHED, "worse"),
        (CONSTANT, "not shown to be better"),
        (0.9 * CONSTANT + 0.1 * WATCHED, "better"),
    ],
    ids=["worse", "constant", "a little better"],
)
def test_a_challenger_has_to_be_shown_to_beat_a_constant(
    small: pl.DataFrame, tasks: list[Task], watched: pl.Expr, outcome: str
) -> None:
    decision = first_night(answers(small, watched), tasks)
    assert outcomes(decision, "constant") == [outcome, "better", "better"]
    assert (decision.promote, decision.usable) == (outcome == "better", False)
    if not decision.promote:
        (reason,) = decision.reasons
        assert reason.startswith("watched: its log-loss on the test rows is ")
        assert reason.endswith("does not show that it beats it.")


@pytest.mark.parametrize(("liked", "promoted"), [("prediction/constant/liked", True), (None, False)])
def test_of_a_conditional_task_it_is_enough_not_to_be_shown_to_be_worse(
    small: pl.DataFrame, tasks: list[Task], liked: str | None, promoted: bool
) -> None:
    """Its labels are few: on a small window, no model might ever be promoted. What is not shown is said."""
    answer = pl.col(liked) if liked else 1 - pl.col("prediction/multi_task/liked")
    decision = first_night(small.with_columns(answer.alias("prediction/multi_task/liked")), tasks)
    assert decision.promote == promoted
    if promoted:
        assert decision.reasons[0].endswith("it beats the constant answer on watched, rating.")
        assert decision.reasons[1].startswith(
            "liked: that it beats the constant answer is not shown (log-loss "
        )


def test_better_by_chance_on_test_is_not_shown_to_be_better(small: pl.DataFrame, tasks: list[Task]) -> None:
    """Noise around the constant, of a sort that happens to have a lower loss: some such model always has."""
    frames = [
        answers(small, CONSTANT + 0.001 * pl.Series(np.random.default_rng(seed).normal(size=SMALL)))
        for seed in range(8)
    ]
    decisions = [first_night(frame, tasks[:1]) for frame in frames]
    lucky = [one for one in decisions if one.comparisons[0].difference < 0]
    assert lucky
    assert not any(one.promote for one in lucky)


def test_validation_has_no_say(small: pl.DataFrame, tasks: list[Task]) -> None:
    """Early stopping and calibration chose on these rows: who is best there may have learned nothing."""
    known = pl.col("label/watched") * 0.98 + 0.01
    flattered = pl.when(pl.col("split") == "validation").then(known).otherwise(CONSTANT)
    assert not first_night(answers(small, flattered), tasks).promote


def test_few_users_leave_the_difference_itself_and_that_is_said(
    small: pl.DataFrame, tasks: list[Task]
) -> None:
    few = small.with_columns(pl.col("user_id") % 9)
    decision = first_night(few, tasks)
    assert decision.promote
    assert outcomes(decision, "constant") == ["better, without an interval"] * 3
    assert decision.reasons[1] == (
        "watched: that it beats the constant answer rests on the difference alone: no interval: it takes 10 users, "
        "here there are 9."
    )
    assert not first_night(answers(few, 1 - WATCHED), tasks).promote


@pytest.mark.parametrize(
    ("label", "why"),
    [
        (pl.lit(0.0), "only one class: every observed label is 0"),
        (pl.lit(None, pl.Float64), "no row with an observed label"),
    ],
    ids=["one class", "no label"],
)
def test_a_test_split_that_says_nothing_is_the_reason_given(
    small: pl.DataFrame, tasks: list[Task], label: pl.Expr, why: str
) -> None:
    """Rather than that the model was no better than a constant, which such rows cannot tell."""
    blind = pl.when(pl.col("split") == "test").then(label).otherwise("label/watched")
    decision = first_night(small.with_columns(blind.alias("label/watched")), tasks)
    assert not decision.promote
    assert decision.reasons == [
        f"watched: whether it has learned anything cannot be said from the test rows: {why}. Look at the check "
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
    assert decision.reasons[1].startswith("watched: it and the champion cannot be compared in ROC-AUC")


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


class Nights:
    """Night after night a challenger with a little more noise than the last, and what is decided of it."""

    def __init__(self, small: pl.DataFrame, task: Task, reference: str, *, looks_back: bool = True) -> None:
        self.small, self.task, self.looks_back = small, task, looks_back
        self.spec = PipelineSpec(tasks=[task], promotion={"reference": reference})  # type: ignore[arg-type]
        self.noise = pl.Series(np.random.default_rng(3).normal(size=len(small)))
        self.champions: dict[str, pl.DataFrame] = {}

    def predicted(self, noise: float, model: str) -> pl.Series:
        believed = pl.col(f"prediction/multi_task/{self.task.name}") + noise * self.noise
        return self.small.select(
            believed.clip(0.001, 0.999).alias(f"prediction/{model}/{self.task.name}")
        ).to_series()

    def night(self, number: int, noise: float) -> Decision:
        frame = self.small.with_columns(self.predicted(noise, "multi_task"))
        measured = evaluate(frame, [self.task], bootstrap_samples=100)
        *earlier, champion = self.champions or [None]

        def against(rival: str) -> Evaluation:
            return against_earlier(measured, frame, self.champions[rival], ALL_ROWS)

        wanted = [name for name in earlier if name and self.spec.promotion.reference in ("best", name)]
        decision = decide(
            self.spec,
            measured,
            against(champion) if champion else None,
            [Earlier(name, against(name)) for name in wanted if self.looks_back],
            challenger=fingerprint(number),
            champion=champion,
        )
        if decision.promote:
            self.champions[fingerprint(number)] = frame.select(
                "example_id", self.predicted(noise, "champion")
            )
        return decision


def fingerprint(night: int) -> str:
    return f"{night:064x}"


SLIDING = 0.0186 * np.sqrt(np.arange(10))
"""Noise of ten nights. Each loses about .0015 of ROC-AUC, less than the margin of .002, and all of them .013."""


def test_against_the_champion_alone_small_losses_add_up(small: pl.DataFrame, tasks: list[Task]) -> None:
    nights = Nights(small, tasks[0], "best", looks_back=False)
    decisions = [nights.night(number, noise) for number, noise in enumerate(SLIDING)]
    losses = [line.loss for one in decisions for line in one.comparisons if line.against == "champion"]
    assert all(one.promote for one in decisions)
    assert all(0.001 < loss < 0.002 for loss in losses)
    assert sum(losses) > 0.012


@pytest.mark.parametrize("reference", ["best", fingerprint(0)], ids=["best", "pinned"])
def test_against_a_reference_they_do_not(small: pl.DataFrame, tasks: list[Task], reference: str) -> None:
    """They stop where the loss to the first, best model is surely more than the margin."""
    nights = Nights(small, tasks[0], reference)
    decisions = [nights.night(number, noise) for number, noise in enumerate(SLIDING[:7])]
    assert [one.promote for one in decisions] == [True] * 4 + [False] * 3
    for number, decision in enumerate(decisions):
        assert decision.references == ([fingerprint(0)] if number > 1 else [])
    last = decisions[-1]
    assert outcomes(last, fingerprint(0)) == ["worse"]
    assert "that of the earlier champion 000000000000 0.820" in last.reasons[-1]
    context = ReportContext("movielens", small, decision=last)
    assert "earlier champion 000000000000" in markdown_of(
        evaluate(small, tasks, bootstrap_samples=5), context
    )


def test_a_reference_that_is_named_and_gone_speaks_against_every_challenger(
    small: pl.DataFrame, tasks: list[Task]
) -> None:
    """Nobody knows whether they are worse, and to forget the floor that was asked for would be worse still."""
    measured = evaluate(small, tasks, bootstrap_samples=100)
    gone = Earlier(
        "abc123", None, "promotion.reference names abc123, which is no single champion that is kept"
    )
    decision = decide(PipelineSpec(tasks=tasks), measured, None, [gone], challenger="new", champion="old")
    assert not decision.promote
    assert decision.reasons == [f"There is no reference to compare with: {gone.obstacle}."]


def test_the_report_says_what_was_decided_and_escapes_it(small: pl.DataFrame, tasks: list[Task]) -> None:
    frame = against(small, "popularity")
    decision = decided(frame, tasks)
    decision.reasons.append(HOSTILE)
    measured = evaluate(frame, tasks, bootstrap_samples=5)
    context = ReportContext("movielens", frame, decision=decision)
    html = html_of(measured, context)
    text = Page(html).text
    assert text.index("The challenger becomes the champion.") < text.index("higher is better")
    assert "better" in text[text.index("Promotion") : text.index("All 5,000 test rows")]
    assert "<script>alert" not in html
    markdown = markdown_of(measured, context)
    assert "The challenger becomes the champion." in markdown
    assert "<script>" not in markdown


def test_margins_name_tasks(tasks: list[Task]) -> None:
    with pytest.raises(ValueError, match="margins names 'clicks'; the tasks are: watched, liked, rating"):
        PipelineSpec(tasks=tasks, promotion={"margins": {"clicks": 0.1}})  # type: ignore[arg-type]
    spec = PipelineSpec(tasks=tasks, promotion={"margins": {"rating": 0.1}})  # type: ignore[arg-type]
    assert spec.margin(tasks[0], 0.8) == 0.002
    assert spec.margin(tasks[2], 2.0) == pytest.approx(0.2)
