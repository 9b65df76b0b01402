"""A pipeline whose items have several texts, each with a vector of its own."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from mtl_pipeline.learning.data.dataset import TextVectors, fused
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.vectors import Vectors, read_vectors
from mtl_pipeline.warehouse.checks import checks_by_asset
from mtl_pipeline.workflows.recommend import first_recommendations
from mtl_pipeline.workflows.stages import run_stage, stages_of
from mtl_pipeline_tests.conftest import TinyPipeline

LEFT_OUT = {"seed_runs", "backtest", "tuning"}


def with_texts(pipeline: TinyPipeline) -> PipelineSpec:
    """Items with a title and a description, which the first one lacks."""
    sql = pipeline.paths.sql / "items.sql"
    described = "CASE WHEN movie_id <> '1' THEN replace(genres, '|', ' and ') END AS description,"
    sql.write_text(sql.read_text().replace("    title,", f"    title, {described}"))
    items = pipeline.spec.features.items.model_copy(
        update={"text": "title", "further_texts": ["description"]}
    )
    features = pipeline.spec.features.model_copy(update={"items": items})
    return PipelineSpec.model_validate(pipeline.spec.model_copy(update={"features": features}).model_dump())


def test_each_text_has_a_vector_of_its_own_and_the_ranker_reads_them_side_by_side(
    tiny_pipeline: TinyPipeline,
) -> None:
    spec, paths = with_texts(tiny_pipeline), tiny_pipeline.paths
    stages = {stage.name: stage for stage in stages_of(paths, spec)}
    assert {"item_embeddings", "item_text_description_embeddings", "user_embeddings"} < stages.keys()

    lines: list[str] = []
    checks = checks_by_asset(paths, spec)
    for name, stage in stages.items():
        if name not in LEFT_OUT:
            run_stage(stage, paths, checks.get(name, []), lines.append)
    assert any("items: text descriptions embedded: 4 of 4" in line for line in lines), "of as many genres"
    assert not any("texts_present" in line for line in lines), "the first item has a title"

    titles, descriptions = (
        read_vectors(paths.embeddings("items", kind)).vectors for kind in ("text", "text_description")
    )
    together = TextVectors.read(paths, spec).tables["items"].vectors
    np.testing.assert_array_equal(together, np.hstack([titles, descriptions]))
    assert not descriptions[0].any()
    assert descriptions[1:].any(axis=1).all()
    assert pl.read_parquet(paths.recommendations)["item_id"].n_unique() > 5
    shown = first_recommendations(paths, spec)["item"]
    assert shown.str.contains(" Story ").all(), "an item is shown by its title"


def made_by(encoder: str, *lengths: float) -> Vectors:
    ids = pa.array(range(len(lengths)), pa.int64())
    vectors = np.array(lengths, dtype=np.float32)[:, None]
    return Vectors(ids, vectors, pa.nulls(len(ids), pa.binary(16)), {"encoder_fingerprint": encoder})


def test_texts_of_one_encoder_stay_as_they_are_however_few_there_are() -> None:
    """The fingerprint tells a champion whether it can read the vectors: the first description must not change it."""
    titles = made_by("a", 6, 7)
    descriptions = [made_by("a", *lengths) for lengths in ((0, 0), (1, 0), (40, 60))]
    together = [fused(titles, some) for some in descriptions]
    assert {vectors.metadata["encoder_fingerprint"] for vectors in together} == {"a + 1 * a"}
    np.testing.assert_array_equal(together[2].vectors, [[6, 40], [7, 60]])


def test_vectors_of_another_encoder_are_made_about_as_long_as_the_first() -> None:
    three = fused(made_by("a", 6, 7), made_by("b", 50, 0), made_by("c", 0, 0))
    assert three.metadata["encoder_fingerprint"] == "a + 0.125 * b + 1 * c"
    np.testing.assert_array_equal(three.vectors, [[6, 6.25, 0], [7, 0, 0]])


def test_texts_of_a_table_that_is_not_there_are_refused() -> None:
    declared = {"raw": {"users": None}, "ids": ["item_id"], "interaction_key": ["item_id"]}
    users = {"users": {"further_texts": ["bio"]}}
    with pytest.raises(ValueError, match=r"features\.users names columns, but raw\.users names no file"):
        PipelineSpec.model_validate(
            declared | {"features": users, "tasks": [{"name": "click", "kind": "binary"}]}
        )
