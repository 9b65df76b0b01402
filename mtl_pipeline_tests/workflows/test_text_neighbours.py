"""Items alike by text, read from a warehouse and a file of vectors as a pipeline makes them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from mtl_pipeline.embedding.inputs.texts import keep_texts
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.vectors import write_vectors
from mtl_pipeline.warehouse.connection import open_warehouse
from mtl_pipeline.warehouse.tables import read_texts
from mtl_pipeline.workflows.text_neighbours import show_text_vectors
from mtl_pipeline_tests.conftest import TinyPipeline, small_spec, write_tiny_pipeline

ITEMS = [
    (1, "'A <b>boat</b>'", "['sea', 'wood']"),
    (2, "'A ship'", "['sea']"),
    (3, "NULL", "['sky']"),
    (4, "'A kite'", "['sky', NULL]"),
    (5, "'A ship'", "NULL"),
    (6, "e' \\n '", "['sky']"),
]
DIRECTIONS = {"A <b>boat</b>": [1.0, 0.0], "A ship": [0.8, 0.6], "A kite": [0.0, 2.0]}


@pytest.fixture
def pipeline(tmp_path: Path) -> TinyPipeline:
    return write_tiny_pipeline(tmp_path / "root")


def write_items(paths: PipelinePaths, spec: PipelineSpec, items: list[tuple[int, str, str]]) -> None:
    rows = ", ".join(f"({', '.join(map(str, row))})" for row in items)
    with open_warehouse(paths.warehouse) as connection:
        connection.execute(f"CREATE TABLE items AS SELECT * FROM (VALUES {rows}) AS t(item_id, text, genres)")
    with TemporaryDirectory() as folder:
        distinct = keep_texts(read_texts(paths, spec, "items"), Path(folder) / "texts.arrow")
        texts = distinct.take(np.arange(len(distinct))).to_pylist()
    by_text = np.array([DIRECTIONS[text] for text in texts] + [[0.0, 0.0]])
    hashes = distinct.hashes.take(pa.array(distinct.numbers))
    write_vectors(paths.embeddings("items"), distinct.ids, by_text[distinct.numbers], hashes, {})


def test_items_with_a_text_of_their_own_are_shown_by_it(pipeline: TinyPipeline) -> None:
    write_items(pipeline.paths, pipeline.spec, ITEMS)
    popular = pl.DataFrame({"item_id": [4, 2, 1], "interactions": [3.0, 2.0, 1.0]}).cast(
        {"item_id": pl.Int32}
    )
    shown = show_text_vectors(pipeline.paths, pipeline.spec, popular)
    pairs = shown["text_neighbours"].select(
        "item_text", "neighbour_text", pl.col("cosine").round(4), "shares"
    )
    assert pairs.rows() == [
        ("A kite", "A ship", 0.6, False),
        ("A kite", "A <b>boat</b>", 0.0, False),
        ("A ship", "A <b>boat</b>", 0.8, True),
        ("A ship", "A kite", 0.6, False),
        ("A <b>boat</b>", "A ship", 0.8, True),
        ("A <b>boat</b>", "A kite", 0.0, False),
    ]
    assert shown["text_map"].select("item_id", "category").rows() == [(4, "sky"), (2, "sea"), (1, "sea")]


def test_a_category_of_one_value_each(pipeline: TinyPipeline) -> None:
    write_items(pipeline.paths, pipeline.spec, [(1, "'A ship'", "'sea'"), (4, "'A kite'", "NULL")])
    shown = show_text_vectors(pipeline.paths, pipeline.spec)
    assert dict(shown["text_map"].select("item_id", "category").rows()) == {1: "sea", 4: "(missing)"}
    assert shown["text_neighbours"]["neighbours_alike"].to_list() == [0.0, 0.0]


def test_what_is_declared_decides(pipeline: TinyPipeline) -> None:
    write_items(pipeline.paths, pipeline.spec, ITEMS)
    plain = {"raw": {"users": "u.csv", "items": "i.csv", "interactions": "r.csv"}}
    task = {"tasks": [{"name": "watched", "kind": "binary"}], "interaction_key": ["user_id", "item_id"]}
    found = show_text_vectors(pipeline.paths, small_spec(plain | task))
    assert found["text_neighbours"]["feature"].null_count() == 6
    silent = small_spec(plain | task, features={"items": {"text": None}})
    assert show_text_vectors(pipeline.paths, silent) == {}


def test_one_item_has_no_neighbours(pipeline: TinyPipeline) -> None:
    write_items(pipeline.paths, pipeline.spec, [(1, "'A ship'", "['sea']"), (2, "NULL", "['sea']")])
    assert show_text_vectors(pipeline.paths, pipeline.spec) == {}
