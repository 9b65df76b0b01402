"""Which slice a test row belongs to, counted by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
import pytest

from mtl_pipeline.evaluation.studies.inside.slices import cold_of, frequent_values, slices_of
from mtl_pipeline.spec import PipelineSpec, SpecError

SPEC: dict[str, Any] = {
    "tasks": [{"name": "click", "kind": "binary"}],
    "features": {"items": {"categorical": ["genres"]}, "interactions": {"categorical": ["device"]}},
    "evaluation": {"slices": ["genres", "device"]},
}
TRAIN_ITEMS = [1] * 10 + [2] * 6 + [3] * 3 + [4]
"""Twenty interactions: item 1 makes the first half, 2 and 3 come up to 95 %, 4 is the tail."""
TEST: dict[str, list] = {
    "user_id": ["ann", "eve", "eve", "ann", "ann"],
    "item_id": [1, 2, 3, 4, 9],
    "timestamp": [datetime(2026, 1, 10 + day) for day in (0, 1, 4, 6, 8)],
    "genres": [["drama"], ["drama", "war"], [], None, ["war", "war"]],
    "device": ["phone", "phone", None, "desk", "phone"],
    "click": [1.0, 0.0, 0.0, 1.0, 0.0],
}


def examples(test: dict[str, list]) -> pl.LazyFrame:
    train = pl.DataFrame(
        {
            "user_id": ["ann"] * 20,
            "item_id": TRAIN_ITEMS,
            "timestamp": [datetime(2026, 1, 1)] * 20,
            "genres": [["drama"]] * 20,
            "device": ["phone"] * 20,
            "click": [0.0] * 10 + [1.0] * 10,
        }
    ).select(list(test))
    return (
        pl.concat(
            [
                train.with_columns(pl.lit("train").alias("split")),
                pl.DataFrame(test, schema=train.schema).with_columns(pl.lit("test").alias("split")),
            ]
        )
        .with_row_index("example_id")
        .lazy()
    )


def read(test: dict[str, list], **spec: Any) -> pl.DataFrame:
    return slices_of(examples(test), PipelineSpec.model_validate(SPEC | spec))


def test_new_users_and_items_are_those_that_training_never_showed() -> None:
    slices = read(TEST)
    assert slices["example_id"].to_list() == [20, 21, 22, 23, 24]
    assert slices["User"].to_list() == ["known", "new", "new", "known", "known"]
    assert slices["Item"].to_list() == ["known", "known", "known", "known", "new"]


def test_an_item_is_cold_until_training_has_an_interaction_with_it() -> None:
    """Of the first item training has rows on which nothing happened: impressions of the log, or sampled negatives."""
    logged = cold_of(examples(TEST), PipelineSpec.model_validate(SPEC))
    assert logged["example_id"].to_list() == [20, 21, 22, 23, 24]
    assert logged["cold"].to_list() == [False, False, False, False, True]
    sampled = cold_of(examples(TEST), PipelineSpec.model_validate(SPEC | {"negatives": {}}))
    assert sampled["cold"].to_list() == [True, False, False, False, True]
    without_items = {"raw": {"users": None, "items": None}, "ids": [], "interaction_key": ["device"]}
    spec = {"tasks": SPEC["tasks"], "features": {"interactions": {"categorical": ["device"]}}} | without_items
    spec |= {"split": {"hash_by": ["device"]}}
    assert cold_of(examples(TEST), PipelineSpec.model_validate(spec)).columns == ["example_id"]


def test_popular_items_make_half_of_the_training_interactions() -> None:
    assert read(TEST)["Popularity"].to_list() == ["head", "middle", "middle", "tail", "new"]


def test_sampled_negatives_make_no_item_popular() -> None:
    """The rows of item 1 were not acted upon: with negatives only the other ten count, six of them item 2's."""
    slices = read(TEST, negatives={"per_positive": 1})
    assert slices["Popularity"].to_list() == ["tail", "head", "middle", "tail", "new"]
    assert slices["Item"].to_list()[0] == "known"


def test_time_is_cut_into_four_spans_of_equal_length() -> None:
    spans = read(TEST)["Time"]
    assert spans.to_list() == [
        "2026-01-10 – 2026-01-12",
        "2026-01-10 – 2026-01-12",
        "2026-01-14 – 2026-01-16",
        "2026-01-16 – 2026-01-18",
        "2026-01-16 – 2026-01-18",
    ]


def test_a_row_with_several_values_is_in_several_slices_once_each() -> None:
    slices = read(TEST)
    assert [sorted(values) for values in slices["genres"].to_list()] == [
        ["drama"],
        ["drama", "war"],
        ["(missing)"],
        ["(missing)"],
        ["war"],
    ]
    assert slices["device"].to_list() == ["phone", "phone", "(missing)", "desk", "phone"]


def test_rare_values_are_put_together() -> None:
    values = pl.Series("city", [str(place) for place in range(20) for _ in range(20 - place)])
    found = frequent_values(values)
    assert found.value_counts().height == 9
    assert found.to_list().count("0") == 20
    assert found.to_list().count("(other values)") == sum(range(1, 13))


def test_without_ids_times_and_categories_there_are_no_slices() -> None:
    slices = read(
        {"timestamp": [None, None], "click": [1.0, 0.0]},
        ids=[],
        raw={"users": None, "items": None},
        features={},
        evaluation={},
        interaction_key=["row"],
        split={"hash_by": ["row"]},
    )
    assert slices.columns == ["example_id"]
    assert slices.height == 2


def test_times_that_are_all_the_same_are_no_slices() -> None:
    same = TEST | {"timestamp": [datetime(2026, 1, 10)] * 5}
    assert "Time" not in read(same).columns


def test_a_slice_by_something_else_than_a_category_is_refused() -> None:
    with pytest.raises(
        ValueError, match="slices names 'price'; the categorical features are: genres, device"
    ) as caught:
        PipelineSpec.model_validate(SPEC | {"evaluation": {"slices": ["device", "price"]}})
    error = caught.value.errors()[0]["ctx"]["error"]  # type: ignore[attr-defined]
    assert isinstance(error, SpecError)
    assert error.place == "evaluation.slices.1"
