"""The largest errors are the largest, whoever made them."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl
import pytest

from mtl_pipeline.evaluation.report.sections.inside.largest_errors import error_tables
from mtl_pipeline.evaluation.studies.inside.largest_errors import MOST_OF_ONE_USER, ROWS_SHOWN, largest_errors
from mtl_pipeline.spec import Task


@pytest.fixture(scope="module")
def errors(predictions: pl.DataFrame, tasks: list[Task], slices: pl.DataFrame) -> pl.DataFrame:
    return largest_errors(predictions, tasks, slices, candidate="multi_task")


def test_they_are_the_largest_of_the_observed_test_rows(
    errors: pl.DataFrame, predictions: pl.DataFrame, tasks: list[Task]
) -> None:
    test = predictions.filter(pl.col("split") == "test")
    for task in tasks:
        rows = test.filter(pl.col(f"label/{task.name}").is_not_null())
        label, predicted = (
            rows[f"label/{task.name}"],
            rows[f"prediction/multi_task/{task.name}"].cast(pl.Float64),
        )
        wrong = (label - predicted).abs()  # in the order of log-loss and of squared error
        found = errors.filter(task=task.name)
        assert found["place"].to_list() == list(range(1, ROWS_SHOWN + 1))
        assert found["loss"].is_sorted(descending=True)
        assert max(found["user_id"].value_counts()["count"]) <= MOST_OF_ONE_USER
        worst = rows.select("example_id", "user_id").with_columns(wrong=wrong)
        others = worst.join(found, on="example_id", how="anti")
        full = found["user_id"].value_counts().filter(pl.col("count") == MOST_OF_ONE_USER)["user_id"]
        others = others.filter(~pl.col("user_id").is_in(full.implode()))
        assert max(others["wrong"]) <= min((found["label"] - found["prediction"]).abs())


def test_one_odd_user_does_not_fill_the_list() -> None:
    rows = 100
    frame = pl.DataFrame(
        {
            "example_id": np.arange(rows),
            "user_id": np.where(np.arange(rows) < 50, 1, np.arange(rows)),
            "split": ["test"] * rows,
            "label/stars": np.zeros(rows),
            "prediction/multi_task/stars": np.arange(rows, 0, -1.0),
        }
    )
    slices = pl.DataFrame({"example_id": np.arange(rows)})
    found = largest_errors(frame, [Task(name="stars", kind="regression")], slices, candidate="multi_task")
    assert found["example_id"].to_list() == [0, 1, *range(50, 58)]
    assert found["new_user"].null_count() == len(found)


def test_whether_a_user_is_new_is_said(errors: pl.DataFrame) -> None:
    assert errors["new_user"].to_list() == [user % 5 == 0 for user in errors["user_id"]]
    assert errors["new_item"].null_count() == len(errors)


def test_counts_and_classes_without_users(other_predictions: pl.DataFrame, other_tasks: list[Task]) -> None:
    slices = other_predictions.select("example_id")
    found = largest_errors(other_predictions, other_tasks, slices, candidate="multi_task")
    assert "user_id" not in found.columns
    genre = found.filter(task="genre")
    assert (genre["likeliest"] != genre["label"]).all()
    visits, classes = error_tables(found, other_tasks)
    assert list(visits.heads) == ["label", "predicted", "deviance (nats × 2)"]
    assert visits.cells[0][0].text.isdigit()
    label, predicted, _ = (cell.text for cell in classes.cells[0])
    assert label in other_tasks[1].classes
    assert f"({label}: " in predicted


def test_the_table_shows_who_what_and_when(errors: pl.DataFrame, tasks: list[Task]) -> None:
    shown = errors.with_columns(
        pl.lit(datetime(1998, 4, 1, 12, 30)).alias("timestamp"),
        pl.lit("A title. " * 50).alias("item_text"),
        pl.lit(value=True).alias("new_item"),
    )
    table = error_tables(shown, tasks)[0]
    assert list(table.heads) == [
        "item's text",
        "label",
        "predicted",
        "log-loss (nats)",
        "time",
        "user",
        "item",
    ]
    line = [cell.text for cell in table.cells[0]]
    assert line[0].endswith("…")
    assert len(line[0]) <= 120
    assert line[4] == "1998-04-01 12:30"
    assert line[6] == f"{shown['item_id'][0]}, new"


def test_a_task_without_observed_rows_has_no_table(
    predictions: pl.DataFrame, slices: pl.DataFrame, tasks: list[Task]
) -> None:
    unobserved = predictions.with_columns(pl.lit(None, pl.Float64).alias("label/liked"))
    found = largest_errors(unobserved, tasks, slices, candidate="multi_task")
    assert [table.title for table in error_tables(found, tasks)] == ["watched", "rating"]
