from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import mean_absolute_error, roc_auc_score

from mtl_pipeline.errors import UserError
from mtl_pipeline.evaluation.studies.scoring import Evaluation, evaluate
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


@pytest.mark.parametrize("users", [1, 2, 9])
def test_a_handful_of_users_gives_no_interval(users: int) -> None:
    """Of two users who both like one model better, by chance, every resample says that it is better."""
    comparisons = evaluate(frame(user_id=np.arange(400) % users), [WATCHED]).comparisons
    assert comparisons["low"].is_nan().all()
    assert set(comparisons["verdict"]) == {"no difference shown"}
    assert f"it takes 10 users, here there {'is' if users == 1 else 'are'} {users}" in comparisons["note"][0]


def test_few_users_give_a_warning() -> None:
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


def test_every_kind_of_task_is_compared_by_its_own_metrics(
    evaluation: Evaluation, other_evaluation: Evaluation
) -> None:
    def compared(measured: Evaluation, task: str) -> list[str]:
        return measured.comparisons.filter(pl.col("task") == task)["metric"].unique().sort().to_list()

    assert compared(evaluation, "watched") == ["log_loss", "roc_auc"]
    assert compared(evaluation, "rating") == ["mae", "rmse"]
    assert compared(other_evaluation, "visits") == ["mae", "poisson_deviance"]
    assert compared(other_evaluation, "genre") == ["accuracy", "log_loss"]


def test_planted_skill_is_found_in_counts_and_classes(other_evaluation: Evaluation) -> None:
    for task, metric in (("visits", "poisson_deviance"), ("visits", "mae"), ("genre", "log_loss")):
        for baseline in ("constant", "boosted_trees"):
            found = comparison(other_evaluation, task, metric, baseline)
            assert found["verdict"] == "better"
            assert found["low"] < found["difference"] < found["high"]


def test_without_users_each_row_is_drawn_by_itself(other_evaluation: Evaluation) -> None:
    assert other_evaluation.resampled == "rows"
    assert other_evaluation.metrics["users"].null_count() == other_evaluation.metrics.height
    nobody = frame().drop("user_id")
    evaluation = evaluate(nobody, [WATCHED], bootstrap_samples=50)
    assert "gauc" not in evaluation.metric_names("watched")
    as_users = evaluate(nobody.with_columns(user_id=pl.col("example_id")), [WATCHED], bootstrap_samples=50)
    assert evaluation.comparisons.drop("note").equals(as_users.comparisons.drop("note"))
    few = evaluate(nobody.group_by("split").head(25), [WATCHED], bootstrap_samples=50).comparisons
    assert "only 25 rows" in few["note"][0]


def test_the_order_of_the_rows_changes_nothing(predictions: pl.DataFrame, tasks: list[Task]) -> None:
    some = predictions.filter(pl.col("user_id") < 20)
    found = [
        evaluate(rows, tasks, bootstrap_samples=20).comparisons
        for rows in (some, some.sample(fraction=1, shuffle=True, seed=1))
    ]
    for column in ("difference", "low", "high"):
        assert found[0][column].to_numpy() == pytest.approx(found[1][column].to_numpy(), abs=1e-12)


GENRE = Task(name="genre", kind="multiclass", classes=["a", "b", "c"])
VISITS = Task(name="visits", kind="count")


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ([0.5, 0.5, 0.5], "do not add up to 1 over the classes"),
        ([1.5, -0.5, 0.0], r"outside \[0, 1\].*softmax"),
        ([0.5, 0.5, math.nan], "NaN, infinite or missing"),
        (None, "NaN, infinite or missing"),
        ([0.5, 0.5], r"column prediction/multi_task/genre holds Array.* needs an Array of 3 probabilities"),
    ],
)
def test_probabilities_of_classes_that_cannot_be_are_refused(shares: list | None, message: str) -> None:
    width = len(shares) if shares else 3
    column = pl.Series([shares] * 400, dtype=pl.Array(pl.Float32, width))
    rows = frame(**{"label/genre": np.arange(400) % 3, "prediction/multi_task/genre": column})
    with pytest.raises(UserError, match=f"task genre, model multi_task: .*{message}"):
        evaluate(rows, [GENRE])


def test_one_number_is_no_prediction_of_classes() -> None:
    rows = frame(**{"label/genre": np.arange(400) % 3, "prediction/multi_task/genre": np.zeros(400)})
    with pytest.raises(UserError, match="holds Float64; a multiclass task needs an Array of 3"):
        evaluate(rows, [GENRE])


@pytest.mark.parametrize(
    ("task", "label", "message"),
    [
        (GENRE, 3, "no class index from 0 to 2"),
        (GENRE, 0.5, "no class index from 0 to 2"),
        (VISITS, -1, "no whole numbers from 0 upwards"),
        (VISITS, 1.5, "no whole numbers from 0 upwards"),
    ],
)
def test_labels_that_the_kind_of_task_does_not_allow_are_refused(
    task: Task, label: float, message: str
) -> None:
    column = f"prediction/multi_task/{task.name}"
    rows = frame(**{f"label/{task.name}": np.full(400, label), column: np.zeros(400)})
    with pytest.raises(UserError, match=f"task {task.name}: 400 of 400 labels are {message}"):
        evaluate(rows, [task])


def test_an_expected_count_below_zero_is_refused() -> None:
    rows = frame(**{"label/visits": np.ones(400), "prediction/multi_task/visits": np.full(400, -0.1)})
    with pytest.raises(UserError, match="predictions are below zero"):
        evaluate(rows, [VISITS])
