"""Which items are alike by their text vectors, worked by hand, and how the report shows it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from mtl_pipeline.embedding.inputs.texts import text_hash
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.evaluation import evaluation_report
from mtl_pipeline.evaluation.report.html import to_html
from mtl_pipeline.evaluation.report.sections.inside.text_neighbours import (
    neighbour_sentences,
    neighbour_table,
)
from mtl_pipeline.evaluation.studies.inside.text_neighbours import (
    evenly,
    map_items,
    measure_neighbours,
    nearest,
    sample_items,
)
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.vectors import Vectors
from mtl_pipeline_tests.evaluation.pages import HOSTILE, Page

SEA = ["Boat", "Ship", "Sail", "Anchor"]
SKY = ["Cloud", "Wing", "Kite", "Feather"]


def described(texts: list[str], categories: list[list[str]]) -> pl.DataFrame:
    ids = range(1, len(texts) + 1)
    lists = pl.Series(categories, dtype=pl.List(pl.String))
    return pl.DataFrame({"item_id": ids, "item_text": texts, "category": lists})


@pytest.fixture
def two_groups() -> tuple[pl.DataFrame, np.ndarray]:
    """Four items of the sea, in the directions of 0 to 6 degrees, and four of the sky, of 90 to 96 degrees."""
    angles = np.deg2rad([0, 2, 4, 6, 90, 92, 94, 96])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return described(SEA + SKY, [["sea"]] * 4 + [["sky", "light"]] * 4), vectors


def test_the_nearest_of_known_vectors(two_groups: tuple[pl.DataFrame, np.ndarray]) -> None:
    places, cosines = nearest(two_groups[1], np.array([0, 7]))
    assert places.tolist() == [[1, 2, 3, 4, 5, 6, 7], [6, 5, 4, 3, 2, 1, 0]]
    assert cosines[:, :3] == pytest.approx(np.cos(np.deg2rad([[2, 4, 6]] * 2)), abs=1e-6)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).normal(size=(700, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    whole = nearest(vectors, np.arange(700))
    products = vectors @ vectors.T - 9 * np.eye(700)
    assert (whole[0] == np.argsort(-products, axis=1)[:, :10]).all()
    monkeypatch.setattr("mtl_pipeline.evaluation.studies.inside.text_neighbours.BLOCK", 7)
    assert (nearest(vectors, np.arange(700))[0] == whole[0]).all()


def test_neighbours_in_the_category_against_chance(two_groups: tuple[pl.DataFrame, np.ndarray]) -> None:
    """Of seven others three are of the same group, all of which are neighbours here: as by chance. Among three
    neighbours, it would be all."""
    found = measure_neighbours(*two_groups, "place")
    first = found.row(0, named=True)
    assert first["neighbours_alike"] == pytest.approx(3 / 7)
    assert first["chance_alike"] == pytest.approx(3 / 7, abs=0.06)
    assert (first["named"], first["items"], first["measured"]) == (0, 8, 8)
    cosines = two_groups[1] @ two_groups[1].T
    assert first["chance_cosine"] == pytest.approx((cosines.sum() - 8) / 56, abs=1e-6)
    assert found.filter(item_text="Boat")["neighbour_text"].to_list() == [
        "Ship",
        "Sail",
        "Anchor",
        "Cloud",
        "Wing",
    ]
    assert found.filter(item_text="Boat")["shares"].to_list() == [True, True, True, False, False]
    assert found["item_text"].unique(maintain_order=True).to_list() == [
        "Boat",
        "Ship",
        "Anchor",
        "Cloud",
        "Kite",
    ]


def test_vectors_that_mean_the_category_are_told_from_those_that_mean_nothing() -> None:
    """Ten categories of fifty items; noise turns the cosine of two of the same category into about a half."""
    rng = np.random.default_rng(1)
    of_item = np.arange(500) % 10
    items = described([f"tale {number}" for number in range(500)], [[f"kind {kind}"] for kind in of_item])

    def alike(vectors: np.ndarray) -> tuple[float, float]:
        units = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        row = measure_neighbours(items, units, "kind").row(0, named=True)
        return row["neighbours_alike"], row["chance_alike"]

    noise = rng.normal(size=(500, 64))
    meaning, chance = alike(rng.normal(size=(10, 64))[of_item] + noise)
    nothing, same_chance = alike(noise)
    assert meaning > 0.95
    assert nothing == pytest.approx(chance, abs=0.02)
    assert chance == same_chance == pytest.approx(49 / 499, abs=0.005)


def test_a_text_that_names_its_category_is_counted() -> None:
    items = described(
        ["A Drama. Of art", "It starts well", "Sci-Fi (1990)", "None"],
        [["drama"], ["art"], ["Sci-Fi", "War"], []],
    )
    found = measure_neighbours(items, np.eye(4, dtype=np.float32), "genre")
    assert found["named"][0] == pytest.approx(2 / 3)  # 'art' is no word of 'starts'
    assert "67\u00a0% of the texts name their genre" in neighbour_sentences(found.row(0, named=True))[1]


def test_without_a_category_there_are_neighbours_and_one_colour(
    two_groups: tuple[pl.DataFrame, np.ndarray],
) -> None:
    items = two_groups[0].with_columns(category=pl.lit([], dtype=pl.List(pl.String)))
    found = measure_neighbours(items, two_groups[1], None)
    assert found["neighbours_alike"].null_count() == found["chance_alike"].null_count() == len(found) == 25
    assert neighbour_sentences(found.row(0, named=True))[0].startswith("Two of 8 items have a cosine of")
    assert neighbour_table(found).heads == ["item", "nearest by text", "cosine"]
    assert map_items(items, two_groups[1])["category"].unique().to_list() == ["(missing)"]


def test_the_map_keeps_distances_of_two_dimensions(two_groups: tuple[pl.DataFrame, np.ndarray]) -> None:
    items, vectors = two_groups
    found = map_items(items, vectors)
    points = found.select("x", "y").to_numpy()
    on_map, before = (np.linalg.norm(each[:, None] - each[None], axis=2) for each in (points, vectors))
    assert on_map == pytest.approx(before, abs=1e-5)
    assert found["variance"][0] == pytest.approx(1)
    assert found["category"].to_list() == ["sea"] * 4 + ["sky"] * 4
    assert map_items(items, vectors).equals(found)
    alike = map_items(items, np.ones_like(vectors))
    assert alike.select("x", "y", "variance").to_numpy() == pytest.approx(0)


def test_the_sample_has_each_text_once_and_the_most_popular_first() -> None:
    """Item 1 has no text, 2 and 4 the same one."""
    texts = ["", "one", "two", "one", "three"]
    vectors = np.array([[0, 0], [3, 4], [0, 2], [3, 4], [1, 0]], dtype=np.float32)
    hashes = pa.array([text_hash(text) for text in texts], pa.binary(16))
    found = Vectors(pa.array([1, 2, 3, 4, 5]), vectors, hashes, {})
    counts = pl.DataFrame({"item_id": [4, 3, 2, 1], "interactions": [9.0, 5.0, 1.0, 99.0]})
    items, units = sample_items(found, counts)
    assert items["item_id"].to_list() == [4, 3, 5]
    assert units.tolist() == pytest.approx(np.array([[0.6, 0.8], [0, 1], [1, 0]]))
    by_hash = sorted([2, 3, 5], key=lambda item: text_hash(texts[item - 1]))
    assert sample_items(found)[0]["item_id"].to_list() == by_hash


def test_the_items_shown_are_spread_over_popularity() -> None:
    assert evenly(1_000, 5).tolist() == [0, 200, 400, 600, 800]
    assert evenly(3, 5).tolist() == [0, 1, 2]


def test_titles_are_text_on_the_page(
    two_groups: tuple[pl.DataFrame, np.ndarray], evaluation: Evaluation, predictions: pl.DataFrame
) -> None:
    items, vectors = two_groups
    hostile = items.with_columns(
        item_text=pl.lit("<b>Tale</b> $x$") + pl.col("item_text"), category=pl.lit([HOSTILE[:14]])
    )
    frames = {
        "text_neighbours": measure_neighbours(hostile, vectors, "place"),
        "text_map": map_items(hostile, vectors),
    }
    context = ReportContext("movielens", predictions, parts=frames)
    with_figures = to_html(evaluation_report(evaluation, context))
    page = Page(with_figures)
    assert "<b>Tale</b> $x$Boat" in page.text
    assert "Map of the items" in page.text
    assert not {"script", "b"} & {tag for tag, _ in page.tags}
    assert HOSTILE[:14] in page.text
    assert (
        "Alike by text"
        not in Page(to_html(evaluation_report(evaluation, ReportContext("movielens", predictions)))).text
    )
