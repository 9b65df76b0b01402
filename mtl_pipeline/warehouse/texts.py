"""The texts of a few users or items, for people to read."""

from __future__ import annotations

import polars as pl

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.connection import open_warehouse
from mtl_pipeline.warehouse.templates import quote_identifier

MOST_CHARACTERS = 200


def read_item_texts(paths: PipelinePaths, spec: PipelineSpec, items: pl.Series) -> pl.DataFrame:
    """Columns `item_id` and `item_text`, one row for each of the items that has a text: its first MOST_CHARACTERS,
    with each run of white space as one blank. Empty where items have no text.

    Raises UserError when there is no warehouse yet.
    """
    wanted = items.alias("item_id").unique().to_frame()
    if "items" not in spec.text_tables:
        return wanted.clear().with_columns(pl.lit(None, pl.String).alias("item_text"))
    text = quote_identifier(spec.features.items.text or "text")
    with open_warehouse(paths.warehouse, read_only=True) as connection:
        connection.register("wanted", wanted.to_arrow())
        return connection.sql(
            f"SELECT item_id, left(trim(regexp_replace({text}, '\\s+', ' ', 'g')), {MOST_CHARACTERS}) AS item_text "
            f"FROM items SEMI JOIN wanted USING (item_id) WHERE {text} IS NOT NULL ORDER BY item_id"
        ).pl()
