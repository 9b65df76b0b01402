"""A pipeline whose items have several texts, each with a vector of its own."""

from __future__ import annotations

import numpy as np
import polars as pl

from mtl_pipeline.learning.data.dataset import TextVectors
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.vectors import read_vectors
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
