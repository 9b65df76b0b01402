"""Texts of a few items, short enough to read."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from mtl_pipeline.warehouse.connection import open_warehouse
from mtl_pipeline.warehouse.tables import SHOWN_CHARACTERS, read_item_texts
from mtl_pipeline_tests.conftest import TinyPipeline, write_tiny_pipeline


@pytest.fixture
def pipeline(tmp_path: Path) -> TinyPipeline:
    pipeline = write_tiny_pipeline(tmp_path / "root")
    with open_warehouse(pipeline.paths.warehouse) as connection:
        connection.execute(
            "CREATE TABLE items AS SELECT * FROM (VALUES (1, 'One'), (2, e'  Two\\n\\t lines '), (3, NULL), "
            "(4, repeat('x', 10000)), (5, '<b>Five</b>')) AS t(item_id, text)"
        )
    return pipeline


def test_the_texts_of_the_items_asked_for(pipeline: TinyPipeline) -> None:
    found = read_item_texts(pipeline.paths, pipeline.spec, pl.Series([5, 2, 2, 3, 99]))
    assert found.rows() == [(2, "Two lines"), (5, "<b>Five</b>")]
    assert found.columns == ["item_id", "item_text"]


def test_long_texts_are_cut(pipeline: TinyPipeline) -> None:
    (text,) = read_item_texts(pipeline.paths, pipeline.spec, pl.Series([4]))["item_text"]
    assert text == "x" * SHOWN_CHARACTERS


def test_items_without_text(pipeline: TinyPipeline) -> None:
    features = pipeline.spec.features
    silent = features.model_copy(update={"items": features.items.model_copy(update={"text": None})})
    spec = pipeline.spec.model_copy(update={"features": silent})
    found = read_item_texts(pipeline.paths, spec, pl.Series(["a", "b"]))
    assert found.schema == {"item_id": pl.String, "item_text": pl.String}
    assert found.is_empty()
