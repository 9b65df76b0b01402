"""Slices by themselves: counted exactly, scored as if there were no others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import log_loss, root_mean_squared_error

from mtl_pipeline.evaluation.report.sections.inside.slices import slice_figures, slice_tables
from mtl_pipeline.evaluation.studies.inside import slice_scores
from mtl_pipeline.evaluation.studies.inside.slice_scores import measure_slices, slice_baselines
from mtl_pipeline.evaluation.studies.scoring import Evaluation, evaluate
from mtl_pipeline.spec import Task


def one(measured: pl.DataFrame, kind: str, name: str, task: str, metric: str, baseline: str) -> dict:
    return measured.row(
        by_predicate=(pl.col("kind") == kind)
        & (pl.col("slice") == name)
        & (pl.col("task") == task)
        & (pl.col("metric") == metric)
        & (pl.col("baseline") == baseline),
        named=True,
    )


def test_rows_users_and_positives_of_a_slice_are_counted_exactly(
    measured: pl.DataFrame, predictions: pl.DataFrame
) -> None:
    new = predictions.filter(pl.col("split") == "test", pl.col("user_id") % 5 == 0)
    found = one(measured, "User", "new", "liked", "roc_auc", "single_task")
    liked = new.filter(pl.col("label/liked").is_not_null())
    assert found["rows"] == liked.height
    assert found["users"] == liked["user_id"].n_unique()
    assert found["positives"] == liked["label/liked"].sum()
    assert found["mean_label"] == pytest.approx(liked["label/liked"].mean())
    assert one(measured, "User", "new", "rating", "mae", "linear")["positives"] is None


def test_a_slice_scores_what_its_rows_alone_would(
    measured: pl.DataFrame, predictions: pl.DataFrame, slices: pl.DataFrame, tasks: list[Task]
) -> None:
    """Its intervals too, up to the chance of the resamples."""
    green = predictions.join(slices.filter(pl.col("colour") == "green"), on="example_id", how="semi")
    alone = evaluate(
        pl.concat([green, predictions.filter(pl.col("split") == "validation")]), tasks, bootstrap_samples=500
    )
    for task, metric in (
        ("watched", "roc_auc"),
        ("watched", "log_loss"),
        ("liked", "roc_auc"),
        ("rating", "rmse"),
    ):
        found = one(measured, "colour", "green", task, metric, "single_task")
        assert found["value"] == pytest.approx(alone.score(task, "multi_task", metric).value, abs=1e-9)
        assert found["baseline_value"] == pytest.approx(
            alone.score(task, "single_task", metric).value, abs=1e-9
        )
        whole = alone.comparisons.row(
            by_predicate=(pl.col("task") == task)
            & (pl.col("metric") == metric)
            & (pl.col("baseline") == "single_task"),
            named=True,
        )
        width = whole["high"] - whole["low"]
        assert found["low"] == pytest.approx(whole["low"], abs=0.2 * width)
        assert found["high"] == pytest.approx(whole["high"], abs=0.2 * width)


def test_many_users_are_drawn_in_groups_with_intervals_of_the_same_width(
    measured: pl.DataFrame,
    predictions: pl.DataFrame,
    slices: pl.DataFrame,
    evaluation: Evaluation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows without users: 53,000 clusters in 1,024 groups, against each row for itself."""
    rows, models = predictions.drop("user_id"), ["multi_task", "single_task"]
    task = evaluation.tasks[0]
    drawn = slice_scores.observed_rows(rows.filter(pl.col("split") == "test"), task, models, seed=0)
    assert drawn.group_count == 1024
    grouped = measure_slices(rows, slices, replace(evaluation, bootstrap_samples=400))
    found = one(grouped, "User", "known", "watched", "roc_auc", "single_task")
    alone = evaluate(
        pl.concat(
            [
                rows.join(slices.filter(pl.col("User") == "known"), on="example_id", how="semi"),
                rows.filter(pl.col("split") == "validation"),
            ]
        ),
        [task],
        bootstrap_samples=400,
    ).comparisons.filter(pl.col("baseline") == "single_task", pl.col("metric") == "roc_auc")
    width = (alone["high"] - alone["low"]).item()
    assert found["high"] - found["low"] == pytest.approx(width, rel=0.15)
    assert found["users"] is None


def test_a_planted_bad_slice_is_found(
    predictions: pl.DataFrame, slices: pl.DataFrame, evaluation: Evaluation
) -> None:
    """The candidate guesses where users are new; as a whole it is still better than the baseline."""
    rng = np.random.default_rng(2)
    column = "prediction/multi_task/watched"
    spoiled = predictions.with_columns(
        pl.when(pl.col("user_id") % 5 == 0)
        .then(pl.Series(rng.random(predictions.height)))
        .otherwise(column)
        .alias(column)
    )
    whole = evaluate(spoiled, evaluation.tasks[:1], bootstrap_samples=50)
    found = measure_slices(spoiled, slices, whole)
    verdicts = {
        name: one(found, "User", name, "watched", "roc_auc", "linear")["verdict"] for name in ("known", "new")
    }
    assert verdicts == {"known": "better", "new": "worse"}
    assert one(found, "User", "new", "watched", "roc_auc", "linear")["value"] == pytest.approx(0.5, abs=0.03)


def test_too_small_a_slice_is_counted_but_not_scored(measured: pl.DataFrame) -> None:
    blue = measured.filter(pl.col("slice") == "blue")
    assert (blue["rows"] < 100).all()
    assert set(blue["note"]) == {"counted only: fewer than 100 rows"}
    assert blue["value"].is_nan().all()
    assert blue["difference"].null_count() == blue.height


def test_a_slice_of_one_class_is_counted_but_not_scored(
    predictions: pl.DataFrame, slices: pl.DataFrame, evaluation: Evaluation
) -> None:
    label = pl.when(pl.col("user_id") % 5 == 0).then(0.0).otherwise("label/watched").alias("label/watched")
    found = measure_slices(
        predictions.with_columns(label), slices, replace(evaluation, bootstrap_samples=5)
    ).filter(pl.col("slice") == "new", pl.col("task") == "watched")
    assert set(found["note"]) == {"counted only: one class, every label is 0"}
    assert found["positives"].to_list() == [0] * found.height


def test_a_handful_of_users_has_no_interval(predictions: pl.DataFrame, evaluation: Evaluation) -> None:
    few = predictions.filter(pl.col("split") == "test", pl.col("user_id") < 3).select(
        "example_id", pl.lit("few").cast(pl.Enum(["few"])).alias("group")
    )
    found = one(measure_slices(predictions, few, evaluation), "group", "few", "rating", "rmse", "linear")
    assert found["note"] == "no interval: it takes 10 users, here there are 3"
    assert (found["low"], found["verdict"]) == (None, "no difference shown")
    assert found["difference"] == pytest.approx(found["value"] - found["baseline_value"])


def test_a_row_of_two_slices_counts_in_both(
    measured: pl.DataFrame, predictions: pl.DataFrame, slices: pl.DataFrame
) -> None:
    rows = predictions.join(slices, on="example_id").filter(pl.col("label/watched").is_not_null())
    a = rows.filter(pl.col("letters").list.contains("a"))
    found = one(measured, "letters", "a", "watched", "log_loss", "single_task")
    assert found["rows"] == a.height
    expected = log_loss(a["label/watched"], a["prediction/multi_task/watched"].cast(pl.Float64))
    assert found["value"] == pytest.approx(expected)


def test_the_baseline_is_chosen_on_validation_rows(predictions: pl.DataFrame, tasks: list[Task]) -> None:
    """On test rows `popularity` knows the labels; on validation rows `linear` is better."""
    label, column = pl.col("label/watched"), "prediction/popularity/watched"
    cheating = predictions.with_columns(
        pl.when(pl.col("split") == "test").then(label).otherwise(column).cast(pl.Float32).alias(column)
    )
    evaluation = evaluate(cheating, tasks[:1], bootstrap_samples=5)
    assert slice_baselines(evaluation, tasks[0]) == ["single_task", "linear"]


def test_numbers_and_classes_without_users(
    other_predictions: pl.DataFrame, other_evaluation: Evaluation
) -> None:
    halves = other_predictions.filter(pl.col("split") == "test").select(
        "example_id",
        pl.when(pl.col("example_id") % 2 == 0)
        .then(pl.lit("even"))
        .otherwise(pl.lit("odd"))
        .cast(pl.Enum(["even", "odd"]))
        .alias("parity"),
    )
    found = measure_slices(other_predictions, halves, replace(other_evaluation, bootstrap_samples=50))
    assert found.height == 2 * (2 + 2) * 2
    assert found["value"].is_finite().all()
    genre = one(found, "parity", "odd", "genre", "accuracy", "boosted_trees")
    assert (genre["mean_label"], genre["positives"], genre["users"]) == (None, None, None)
    assert genre["rows"] == 2_000
    (table,) = slice_tables(found, other_evaluation.tasks)
    assert ["odd", "visits", "2,000"] in [list(row[:3]) for row in table.rows]


def test_rmse_is_the_root_of_the_mean(
    measured: pl.DataFrame, predictions: pl.DataFrame, slices: pl.DataFrame
) -> None:
    red = predictions.join(slices.filter(pl.col("colour") == "red"), on="example_id").filter(
        pl.col("label/rating").is_not_null()
    )
    expected = root_mean_squared_error(red["label/rating"], red["prediction/multi_task/rating"])
    assert one(measured, "colour", "red", "rating", "rmse", "linear")["value"] == pytest.approx(expected)


def test_a_model_without_baselines_is_scored_alone(
    predictions: pl.DataFrame, slices: pl.DataFrame, tasks: list[Task]
) -> None:
    lonely = predictions.drop("^prediction/(constant|popularity|linear|single_task)/.*$")
    evaluation = evaluate(lonely, tasks[:1], bootstrap_samples=5)
    found = measure_slices(lonely, slices.select("example_id", "User"), evaluation)
    assert found["baseline"].to_list() == [None] * 4
    assert found["value"].is_finite().all()
    assert slice_figures(found, evaluation.tasks) == []


def test_no_kinds_of_slices_no_rows(
    predictions: pl.DataFrame, slices: pl.DataFrame, evaluation: Evaluation
) -> None:
    none = measure_slices(predictions, slices.select("example_id"), evaluation)
    assert none.is_empty()
    assert slice_tables(none, evaluation.tasks) == []


def test_a_figure_for_each_task_and_a_table_for_each_kind(
    measured: pl.DataFrame, evaluation: Evaluation
) -> None:
    figures = slice_figures(measured, evaluation.tasks)
    assert [figure.title for figure in figures] == ["watched by slice", "liked by slice", "rating by slice"]
    assert "right of zero multi_task is better" in figures[0].caption
    assert "left of zero multi_task is better" in figures[2].caption
    tables = slice_tables(measured, evaluation.tasks)
    assert [table.title for table in tables] == ["User", "colour", "letters"]
    (blue,) = [row for row in tables[1].rows if row[:2] == ["blue", "watched"]]
    assert blue[-2:] == ["–", "counted only: fewer than 100 rows"]
