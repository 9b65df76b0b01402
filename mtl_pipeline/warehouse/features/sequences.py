"""What users chose before a row, item by item, and how the row's item is related to it."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import COMMON_SQL, PipelinePaths
from mtl_pipeline.spec import CHOSEN_FROM, CHOSEN_TO, PipelineSpec, Sequence
from mtl_pipeline.vectors import read_vectors
from mtl_pipeline.warehouse.connection import run_sql
from mtl_pipeline.warehouse.features.label_times import end_of_log, label_steps
from mtl_pipeline.warehouse.features.point_in_time import entity_ids
from mtl_pipeline.warehouse.features.relations import Chosen, Pairs, Relations, leading_components
from mtl_pipeline.warehouse.templates import quote_identifier

RELATIONS_AT_ONCE = 1_000_000
"""Between candidates and what their users chose, or those of one user where they are more: 8 MB for each of their
numbers."""
MADE_BY = [
    *(COMMON_SQL / name for name in ("split_boundaries.sql", "chosen_items.sql", "sequence_rows.sql")),
    Path(__file__),
    Path(__file__).with_name("relations.py"),
]
"""What decides how rows and candidates are related to what came before."""
PLACES = ["_item", "_time", "_first", "_end"]
"""Columns that say which item a row has, when, and where in chosen_items lies what its user had chosen."""


def read_relations(
    connection: duckdb.DuckDBPyConnection, paths: PipelinePaths, spec: PipelineSpec, sequence: Sequence
) -> Relations:
    """Make the temporary tables of chosen_items.sql, and what relates items to each other.

    Raises UserError when a label of the sequence may be known later than its row, or when vectors of items' texts are
    needed and missing.
    """
    steps = label_steps(connection, spec)
    if late := [label for label in sequence.labels if label in steps]:
        raise UserError(
            f"features.sequence in defs.yaml: labels names {', '.join(late)}, which may be known later than its row "
            "(known_at, known_after_days, or merged events); name labels that are known at once, or none"
        )
    run_sql(connection, "split_boundaries.sql", spec=spec, end_of_log=end_of_log(spec))
    run_sql(
        connection,
        "chosen_items.sql",
        spec=spec,
        steps=steps,
        labels=sequence.labels,
        items=entity_ids(spec, "items"),
        order=", ".join(["timestamp", "_item", *map(quote_identifier, sequence.labels)]),
    )
    chosen = connection.sql("FROM chosen_items ORDER BY _place").pl()
    firsts = chosen.select(pl.col("_place").min().over("user_id")).to_series()
    labels = {
        label: tuple(chosen[name].cast(pl.Float64).to_numpy() for name in (label, f"mean_{label}"))
        for label in sequence.labels
    }
    items = connection.sql("SELECT item_id FROM item_numbers ORDER BY _item").pl()["item_id"]
    return Relations(
        Chosen(
            first=firsts.to_numpy(),
            item=chosen["_item"].to_numpy(),
            time=chosen["timestamp"].dt.epoch("us").to_numpy(),
            labels=labels,
        ),
        items=len(items),
        last=sequence.last,
        vectors=text_components(paths, items) if ("items", "text") in spec.embedded else None,
    )


def text_components(paths: PipelinePaths, items: pl.Series) -> np.ndarray:
    """Principal components of the vectors of these items, in their order."""
    texts = read_vectors(paths.embeddings("items"))
    numbered = pl.DataFrame({"item_id": pl.Series(texts.ids)}).with_row_index("row")
    rows = items.to_frame("item_id").join(numbered, on="item_id", how="left", maintain_order="left")["row"]
    if rows.null_count():
        raise UserError(f"{rows.null_count():,} items have no text vector: materialize item_embeddings again")
    return leading_components(texts.vectors[rows.to_numpy()])


def add_sequence_features(
    connection: duckdb.DuckDBPyConnection, paths: PipelinePaths, spec: PipelineSpec, source: str
) -> str:
    """Join `spec.sequence_features` to a temporary table with user_id, item_id and timestamp.

    Drops the table and returns the name of the one that replaces it. Raises UserError as `read_relations` does.
    """
    if spec.features.sequence is None:
        return source
    relations = read_relations(connection, paths, spec, spec.features.sequence)
    run_sql(connection, "sequence_rows.sql", source=source)
    places = connection.sql("SELECT _row, _item, _time, _first, _end FROM sequence_rows ORDER BY _row").pl()
    features = relate(relations, places).insert_column(0, places["_row"])
    connection.register("sequence_features", features)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE rows_with_sequence AS SELECT source.*, sequence_features.* EXCLUDE (_row) "
        f"FROM {source} AS source JOIN sequence_features ON source.rowid = _row"
    )
    connection.unregister("sequence_features")
    connection.execute(f"DROP TABLE {source}; DROP TABLE sequence_rows")
    return "rows_with_sequence"


def relate(relations: Relations, places: pl.DataFrame) -> pl.DataFrame:
    """The features of rows with the columns PLACES: NULL where the user had chosen nothing."""
    item, time, first, end = (places[name].to_numpy() for name in PLACES)
    features = pl.DataFrame(relations.features(Pairs(item, time, first, end))).fill_nan(None)
    return features.with_columns(last_places(places, relations.last))


def last_places(places: pl.DataFrame, last: int) -> tuple[pl.Series, pl.Series]:
    """CHOSEN_FROM and CHOSEN_TO of rows with the columns PLACES."""
    first, end = places["_first"], places["_end"]
    start = pl.select(pl.max_horizontal(first, end - last)).to_series()
    return start.cast(pl.Int64).alias(CHOSEN_FROM), end.cast(pl.Int64).alias(CHOSEN_TO)


def relate_candidates(relations: Relations, users: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """What `relate` says, as of now, of every user, with the columns _first and _end, and every item, with _item:
    [users × items], one user after another."""
    item, first, end = items["_item"].to_numpy(), users["_first"].to_numpy(), users["_end"].to_numpy()
    at_once = max(1, RELATIONS_AT_ONCE // max(1, len(item) * relations.last))
    parts = []
    for start in range(0, len(users), at_once):
        block = slice(start, start + at_once)
        values = relations.features_now(item, first[block], end[block])
        parts.append(pl.DataFrame({name: value.ravel() for name, value in values.items()}))
    return pl.concat(parts).fill_nan(None)
