"""Coverage, novelty and concentration of recommendations, worked by hand."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from mtl_pipeline.checksums import UNSEALED, seal
from mtl_pipeline.warehouse.catalogue import describe_catalogue
from mtl_pipeline.warehouse.connection import open_warehouse
from mtl_pipeline_tests.conftest import TinyPipeline, write_tiny_pipeline


@pytest.fixture
def pipeline(tmp_path: Path) -> TinyPipeline:
    """Four items: of four interactions three are with item 1, one is with item 2."""
    pipeline = write_tiny_pipeline(tmp_path / "root")
    with open_warehouse(pipeline.paths.warehouse) as connection:
        connection.execute("CREATE TABLE items AS SELECT unnest([1, 2, 3, 4]) AS item_id")
        connection.execute(
            "CREATE TABLE interactions AS SELECT unnest([1, 1, 1, 2]) AS item_id, unnest([1, 2, 3, 1]) AS user_id"
        )
    return pipeline


def recommend(pipeline: TinyPipeline, items: list[int]) -> None:
    frame = pl.DataFrame({"item_id": items}, schema={"item_id": pl.Int64})
    frame.write_parquet(pipeline.paths.recommendations, metadata=UNSEALED)
    seal(pipeline.paths.recommendations)


def test_popular_items_for_everybody(pipeline: TinyPipeline) -> None:
    """Item 1 has 3 + 1 of 4 + 4 interactions: one bit."""
    recommend(pipeline, [1, 1, 1])
    found = describe_catalogue(pipeline.paths, pipeline.spec)
    assert (found.items_on_offer, found.catalogue_coverage, found.novelty) == (4, 0.25, 1)
    assert found.concentration == pytest.approx(3 / 4)


def test_each_item_once(pipeline: TinyPipeline) -> None:
    """One bit, two bits (2 of 8), and three for the items without interactions (1 of 8)."""
    recommend(pipeline, [1, 2, 3, 4])
    found = describe_catalogue(pipeline.paths, pipeline.spec)
    assert (found.catalogue_coverage, found.concentration) == (1, 0)
    assert found.novelty == pytest.approx((1 + 2 + 3 + 3) / 4)


def test_no_recommendations(pipeline: TinyPipeline) -> None:
    recommend(pipeline, [])
    found = describe_catalogue(pipeline.paths, pipeline.spec)
    assert (found.items_on_offer, found.catalogue_coverage, found.novelty, found.concentration) == (
        4,
        0,
        0,
        0,
    )
