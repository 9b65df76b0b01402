from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import mean_absolute_error, roc_auc_score

from mtl_pipeline.errors import UserError
from mtl_pipeline.evaluation.scoring import Evaluation, evaluate
from mtl_pipeline.spec import Task

WATCHED = Task(name="watched", kind="binary")
RATING = Task(name="rating", kind="regression")


def frame(rows: int = 400, /, **columns: Any) -> pl.DataFrame:
    """A small frame: half validation, half test, 20 users, two models that predict `watched` at random."""
    rng = np.random.default_rng(3)
    defaults = {
        "example_id": np.arange(rows),
        "user_id": [f"user {row % 20}" for row in range(rows)],
        "item_id": np.arange(rows),
        "split": ["validation"] * (rows // 2) + ["test"] * (rows // 2),
        "label/watched": (rng.random(rows) < 0.4).astype(float),
        "prediction/linear/watched": rng.random(rows),
        "prediction/multi_task/watched": rng.random(rows),
    }
    return pl.DataFrame(defaults | columns)


def comparison(evaluation: Evaluation, task: str, metric: str, baseline: str) -> dict:
    return evaluation.comparisons.row(
        by_predicate=(pl.col("task") == task)
        & (pl.col("metric") == metric)
        & (pl.col("baseline") == baseline),
        named=True,
    )


def test_every_model_is_scored_on_every_task_metric_and_split(evaluation: Evaluation) -> None:
    assert evaluation.models("watched") == ["constant", "popularity", "linear", "single_task", "multi_task"]
    assert evaluation.metrics.height == 5 * 2 * (11 + 11 + 4)
    assert evaluation.metrics["value"].is_finite().all()


def test_rows_without_a_label_are_left_out(evaluation: Evaluation, predictions: pl.DataFrame) -> None:
    observed = predictions.filter(pl.col("split") == "test", pl.col("label/rating").is_not_null())
    expected = mean_absolute_error(observed["label/rating"], observed["prediction/linear/rating"])
    assert evaluation.score("rating", "linear", "mae").value == pytest.approx(expected, abs=1e-6)
    rows = evaluation.metrics.filter(pl.col("task") == "rating", pl.col("split") == "test")["rows"]
    assert rows.unique().to_list() == [observed.height]


def test_thresholds_come_from_validation_alone() -> None:
    before = frame()
    on_test = pl.col("split") == "test"
    after = before.with_columns(
        pl.when(on_test).then(1 - pl.col("label/watched")).otherwise("label/watched").alias("label/watched"),
        pl.when(on_test).then(0.5).otherwise("prediction/linear/watched").alias("prediction/linear/watched"),
    )
    thresholds = [evaluate(rows, [WATCHED], bootstrap_samples=1).thresholds for rows in (before, after)]
    assert thresholds[0].equals(thresholds[1])
    assert not evaluate(before.with_columns(split=pl.col("split").reverse()), [WATCHED]).thresholds.equals(
        thresholds[0]
    )


def test_a_planted_better_model_is_found(evaluation: Evaluation) -> None:
    for task, metric in (
        ("watched", "roc_auc"),
        ("watched", "log_loss"),
        ("liked", "roc_auc"),
        ("rating", "rmse"),
    ):
        found = comparison(evaluation, task, metric, "linear")
        assert found["verdict"] == "better"
        assert found["low"] < found["difference"] < found["high"]


def test_a_planted_worse_model_is_found(predictions: pl.DataFrame, tasks: list[Task]) -> None:
    reversed_roles = evaluate(predictions, tasks, candidate="linear", bootstrap_samples=100)
    for task, metric in (("watched", "roc_auc"), ("liked", "log_loss"), ("rating", "mae")):
        assert comparison(reversed_roles, task, metric, "multi_task")["verdict"] == "worse"


def test_two_models_of_equal_skill_show_no_difference() -> None:
    rng = np.random.default_rng(0)
    appeal = rng.normal(size=20_000)
    skilled = {
        f"prediction/{model}/watched": 1 / (1 + np.exp(-appeal - rng.normal(size=20_000)))
        for model in ("single_task", "multi_task")
    }
    rows = frame(
        20_000, **{"label/watched": (rng.random(20_000) < 1 / (1 + np.exp(-appeal))).astype(float)}, **skilled
    )
    assert (
        comparison(evaluate(rows, [WATCHED]), "watched", "roc_auc", "single_task")["verdict"]
        == "no difference shown"
    )


def test_identical_models_differ_by_exactly_zero() -> None:
    rows = frame().with_columns(pl.col("prediction/multi_task/watched").alias("prediction/linear/watched"))
    for metric in ("roc_auc", "log_loss"):
        found = comparison(evaluate(rows, [WATCHED]), "watched", metric, "linear")
        assert (found["difference"], found["low"], found["high"]) == (0, 0, 0)
        assert found["verdict"] == "no difference shown"


def test_same_seed_same_numbers_whatever_other_tasks_there_are() -> None:
    rows = frame().with_columns(
        pl.col("label/watched").alias("label/rating"),
        pl.col("prediction/linear/watched").alias("prediction/linear/rating"),
        pl.col("prediction/multi_task/watched").alias("prediction/multi_task/rating"),
    )
    first = evaluate(rows, [WATCHED, RATING], seed=5)
    again = evaluate(rows, [WATCHED, RATING], seed=5)
    assert first.comparisons.equals(again.comparisons)
    alone = evaluate(rows, [RATING], seed=5)
    assert alone.comparisons.equals(first.comparisons.filter(pl.col("task") == "rating"))
    other = evaluate(rows, [WATCHED, RATING], seed=6)
    assert not first.comparisons["low"].equals(other.comparisons["low"])
    assert first.metrics.equals(other.metrics)


def test_one_class_on_test_is_undefined_with_its_reason_not_an_error() -> None:
    rows = frame().with_columns(
        pl.when(pl.col("split") == "test").then(0.0).otherwise("label/watched").alias("label/watched")
    )
    evaluation = evaluate(rows, [WATCHED], bootstrap_samples=20)
    score = evaluation.score("watched", "linear", "roc_auc")
    assert math.isnan(score.value)
    assert "only one class" in score.note
    assert math.isfinite(evaluation.score("watched", "linear", "roc_auc", split="validation").value)
    found = comparison(evaluation, "watched", "roc_auc", "linear")
    assert found["verdict"] == "no difference shown"
    assert "only one class" in found["note"]
    assert math.isfinite(comparison(evaluation, "watched", "log_loss", "linear")["low"])


def test_a_task_nobody_observed_is_reported_not_an_error() -> None:
    rows = frame(**{"label/watched": pl.Series([None] * 400, dtype=pl.Float64)})
    evaluation = evaluate(rows, [WATCHED])
    assert evaluation.score("watched", "linear", "log_loss").note == "no row with an observed label"
    assert evaluation.comparisons["verdict"].unique().to_list() == ["no difference shown"]


def test_one_user_gives_no_interval_and_few_users_a_warning() -> None:
    one = evaluate(frame(user_id=["alone"] * 400), [WATCHED]).comparisons
    assert one["low"].is_nan().all()
    assert "one user" in one["note"][0]
    few = evaluate(frame(), [WATCHED]).comparisons
    assert "only 20 users" in few["note"][0]


@pytest.mark.parametrize("bad", [math.nan, math.inf, None])
def test_a_prediction_that_is_no_number_is_refused_naming_model_and_task(bad: float | None) -> None:
    values = pl.Series([0.5] * 7 + [bad] + [0.5] * 392, dtype=pl.Float32)
    with pytest.raises(
        UserError, match=r"task watched, model linear: 1 of 400 .* NaN, infinite .*example_id 7"
    ):
        evaluate(frame(**{"prediction/linear/watched": values}), [WATCHED])


def test_a_probability_outside_zero_and_one_is_refused() -> None:
    with pytest.raises(UserError, match=r"task watched, model multi_task: 400 of 400 .*outside \[0, 1\]"):
        evaluate(frame(**{"prediction/multi_task/watched": np.full(400, 1.5)}), [WATCHED])


def test_a_binary_label_other_than_zero_and_one_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"task watched: 400 of 400 labels are neither 0, 1 nor null.*interactions.sql"
    ):
        evaluate(frame(**{"label/watched": np.full(400, 5)}), [WATCHED])


def test_a_missing_candidate_is_refused_naming_the_models_there_are() -> None:
    with pytest.raises(UserError, match=r"no column prediction/multi_task/watched; models found: linear"):
        evaluate(frame().drop("prediction/multi_task/watched"), [WATCHED])


def test_integer_labels_and_text_users_are_fine() -> None:
    rows = frame().with_columns(pl.col("label/watched").cast(pl.Int8))
    test = rows.filter(pl.col("split") == "test")
    expected = roc_auc_score(test["label/watched"], test["prediction/linear/watched"])
    evaluation = evaluate(rows, [WATCHED], bootstrap_samples=1)
    assert evaluation.score("watched", "linear", "roc_auc").value == pytest.approx(expected)
    assert evaluation.metrics["users"].unique().to_list() == [20]
