"""What recommendations are like, worked by hand, and what is warned of."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from mtl_pipeline.checksums import UNSEALED, seal, write_checksums
from mtl_pipeline.spec import Recommendations
from mtl_pipeline.warehouse.catalogue import describe_catalogue, judged
from mtl_pipeline.warehouse.connection import open_warehouse
from mtl_pipeline_tests.conftest import TinyPipeline, write_tiny_pipeline


@pytest.fixture
def pipeline(tmp_path: Path) -> TinyPipeline:
    """Four items: of four interactions three are with item 1, one is with item 2."""
    pipeline = write_tiny_pipeline(tmp_path / "root")
    with open_warehouse(pipeline.paths.warehouse) as connection:
        connection.execute("CREATE TABLE items AS SELECT unnest([1, 2, 3, 4]) AS item_id")
        connection.execute(
            "CREATE TABLE interactions AS SELECT unnest([1, 1, 1, 2]) AS item_id, unnest([1, 2, 3, 1]) AS user_id, "
            "1 AS watched"
        )
    trained = pl.DataFrame({"feature": ["item_id", "item_id", "user_id"], "value": ["1", "2", "1"]})
    pipeline.paths.model.mkdir()
    trained.write_parquet(pipeline.paths.model / "vocabulary.parquet")
    write_checksums(pipeline.paths.model)
    return pipeline


def described(
    pipeline: TinyPipeline, *rows: tuple[int, int, int], exclude: str = "nothing"
) -> dict[str, float]:
    """Of recommendations of user, item and rank."""
    frame = pl.DataFrame(rows, dict.fromkeys(["user_id", "item_id", "rank"], pl.Int64), orient="row")
    frame.write_parquet(pipeline.paths.recommendations, metadata=UNSEALED)
    seal(pipeline.paths.recommendations)
    recommendations = Recommendations.model_validate({"exclude": exclude, "per_user": 1})
    spec = pipeline.spec.model_copy(update={"recommendations": recommendations})
    return describe_catalogue(pipeline.paths, spec, pipeline.paths.model)


def test_the_same_popular_item_for_everybody(pipeline: TinyPipeline) -> None:
    """Item 1 has 3 + 1 of 4 + 4 interactions: one bit."""
    found = described(pipeline, (1, 1, 1), (2, 1, 1), (3, 1, 1))
    assert (found["items on offer"], found["catalogue coverage"], found["novelty"]) == (4, 0.25, 1)
    assert found["possible coverage"] == pytest.approx(1 / 3)
    assert found["concentration"] == pytest.approx(3 / 4)
    assert (found["same first item"], found["popularity overlap"]) == (1, 1)


def test_each_item_once(pipeline: TinyPipeline) -> None:
    """One bit, two bits (2 of 8), and three for the items without interactions (1 of 8)."""
    found = described(pipeline, *((user, user, 1) for user in (1, 2, 3, 4)))
    assert (found["catalogue coverage"], found["concentration"]) == (1, 0)
    assert found["novelty"] == pytest.approx((1 + 2 + 3 + 3) / 4)
    assert (found["same first item"], found["popularity overlap"]) == (1 / 4, 1 / 4)


def test_popularity_is_that_of_the_items_that_a_user_may_be_recommended(pipeline: TinyPipeline) -> None:
    """Users 2 and 3 have watched item 1, so item 2 is the most popular for them; user 1 has watched both."""
    found = described(pipeline, (1, 3, 1), (2, 2, 1), (3, 4, 1), exclude="chosen")
    assert found["popularity overlap"] == pytest.approx(2 / 3)


def test_what_the_model_never_saw_in_training(pipeline: TinyPipeline) -> None:
    """It saw user 1, and items 1 and 2."""
    found = described(pipeline, (1, 1, 1), (2, 2, 1), (3, 3, 1))
    assert (found["untrained items"], found["untrained users"]) == pytest.approx((1 / 3, 2 / 3))


def test_no_recommendations(pipeline: TinyPipeline) -> None:
    found = described(pipeline)
    assert found.pop("items on offer") == 4
    assert set(found.values()) == {0}


@pytest.mark.parametrize(
    ("share", "rows", "newest_days", "warns"),
    [(0.9, 99, None, False), (0.9, 100, None, True), (0.4, 100, None, False), (0.9, 100, 2, False)],
)
def test_items_that_are_new_to_the_model_are_warned_of(
    pipeline: TinyPipeline, share: float, rows: int, newest_days: int | None, warns: bool
) -> None:
    """Unless there are too few to say, or new items are what is asked for."""
    recommendations = Recommendations(newest_days=newest_days)
    spec = pipeline.spec.model_copy(update={"recommendations": recommendations})
    figures = judged({"untrained items": share, "novelty": 3.0}, spec, rows)
    assert figures["warns"].to_list() == [warns, False]
