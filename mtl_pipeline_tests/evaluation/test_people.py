"""The lists of a few users, worked by hand."""

from __future__ import annotations

import polars as pl
import pytest

from mtl_pipeline.evaluation.report.sections.tasks.people import people_table
from mtl_pipeline.evaluation.studies.lists.people import lists_of_people
from mtl_pipeline.spec import Task

TASKS = [Task(name="click", kind="binary"), Task(name="buy", label="purchase", kind="binary", given="click")]


@pytest.fixture(scope="module")
def examples() -> pl.LazyFrame:
    """User 1 bought items 10 to 17, the newest last, and only clicked 18; user 2 bought nothing."""
    rows = [(1, item, 1.0, 1.0) for item in range(10, 18)] + [(1, 18, 1.0, 0.0)]
    rows += [(2, item, 1.0, 0.0) for item in range(10, 18)]
    return pl.LazyFrame(rows, schema=["user_id", "item_id", "click", "buy"], orient="row").with_columns(
        split=pl.lit("train"), timestamp=pl.int_range(pl.len())
    )


@pytest.fixture(scope="module")
def predictions() -> pl.DataFrame:
    """Both users have ten test rows; the higher the item, the likelier; item 29 was clicked, but not bought."""
    rows = [(user, 20 + place, place / 10) for user in (1, 2) for place in range(10)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "prediction/ours/buy"], orient="row")
    return frame.with_columns(
        pl.lit("test").alias("split"),
        pl.lit(0.5).alias("prediction/ours/click"),
        pl.lit(1.0).alias("label/click"),
        (pl.col("item_id") != 29).cast(pl.Float64).alias("label/buy"),
    )


def test_who_bought_enough_before_has_the_newest_of_it_beside_the_top(
    predictions: pl.DataFrame, examples: pl.LazyFrame
) -> None:
    found = lists_of_people(predictions, examples, TASKS, candidate="ours")
    assert found["user_id"].unique().to_list() == [1]
    assert found["goal"].unique().to_list() == ["click → buy"]
    assert found.filter(part="before")["item_id"].to_list() == [17, 16, 15, 14, 13]
    top = found.filter(part="top")
    assert top["item_id"].to_list() == [29, 28, 27, 26, 25]
    assert top["prediction"].to_list() == pytest.approx([0.45, 0.4, 0.35, 0.3, 0.25])
    assert top["label"].to_list() == [0, 1, 1, 1, 1]


def test_the_table_names_items_by_their_text(predictions: pl.DataFrame, examples: pl.LazyFrame) -> None:
    found = lists_of_people(predictions, examples, TASKS, candidate="ours")
    text = pl.when(pl.col("item_id") == 29).then(pl.lit("A long story " * 9))
    cells = people_table(found.with_columns(item_text=text)).cells
    assert [cell.text for cell in cells[0]] == [
        "1",
        "17",
        f"{('A long story ' * 9)[:59].rstrip()}…",
        "0.450",
        "",
    ]
    assert [cell.text for cell in cells[1]] == ["", "16", "28", "0.400", "✓"]


def test_without_users_items_or_events_there_are_no_lists(
    predictions: pl.DataFrame, examples: pl.LazyFrame
) -> None:
    rating = [Task(name="rating", kind="regression")]
    assert lists_of_people(predictions, examples, rating, candidate="ours").is_empty()
    for column in ("user_id", "item_id"):
        assert lists_of_people(predictions.drop(column), examples, TASKS, candidate="ours").is_empty()
