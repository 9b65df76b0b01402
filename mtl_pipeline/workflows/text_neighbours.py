"""Which items are alike by their text vectors, with their texts: for a person to see."""

from __future__ import annotations

import polars as pl

from mtl_pipeline.evaluation.studies.inside.text_neighbours import map_items, measure_neighbours, sample_items
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.vectors import read_vectors
from mtl_pipeline.warehouse.tables import read_item_texts, read_item_values


def show_text_vectors(
    paths: PipelinePaths, spec: PipelineSpec, interactions: pl.DataFrame | None = None
) -> dict[str, pl.DataFrame]:
    """The published frames `text_neighbours` and `text_map`; none without two different texts of items.

    Categories are the values of the first categorical feature of items that is declared. `interactions`: see
    `sample_items`. Raises UserError when warehouse or vectors are missing or damaged.
    """
    if ("items", "text") not in spec.embedded:
        return {}
    items, vectors = sample_items(read_vectors(paths.embeddings("items")), interactions)
    if len(items) < 2:
        return {}
    feature = next(iter(spec.features.items.categorical), None)
    for read in (
        read_item_texts(paths, spec, items["item_id"]),
        read_item_values(paths, feature, items["item_id"]),
    ):
        items = items.join(read, on="item_id", how="left", maintain_order="left")
    items = items.with_columns(pl.col("item_text").fill_null(pl.col("item_id").cast(pl.String)))
    return {
        "text_neighbours": measure_neighbours(items, vectors, feature),
        "text_map": map_items(items, vectors),
    }
