"""Candidates for recommendation: every user with every item that they may be shown, with features as of now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import polars as pl

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import COMMON_SQL, PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.connection import column_types, fetch_one, open_warehouse, run_sql
from mtl_pipeline.warehouse.features.label_times import end_of_log
from mtl_pipeline.warehouse.features.point_in_time import (
    entity_features,
    entity_ids,
    entity_joins,
    summarise_history,
)
from mtl_pipeline.warehouse.features.sequences import PLACES, read_relations, relate_candidates
from mtl_pipeline.warehouse.templates import quote_identifier, quote_literal, render_sql

ROWS_AT_ONCE = 500_000


@dataclass(frozen=True)
class Candidates:
    """Frames of a few users each, to be gone through once: user_id, item_id and raw features."""

    frames: Iterator[pl.DataFrame]
    chosen: pl.DataFrame | None
    """With sequences, what users chose until now: as chosen.parquet beside the examples."""

    def __iter__(self) -> Iterator[pl.DataFrame]:
        return self.frames


@contextmanager
def build_candidates(paths: PipelinePaths, spec: PipelineSpec) -> Iterator[Candidates]:
    """Yield the candidates of all users.

    "Now" is one second after the last event, the same for all users, so the log is summed up once, before the first
    frame. All candidates of a user are in one frame, and a frame has about ROWS_AT_ONCE rows, or those of one user
    where the catalogue is larger.
    """
    with open_warehouse(paths.warehouse, read_only=True, settings=spec.warehouse) as connection:
        run_sql(
            connection,
            "candidate_parts.sql",
            spec=spec,
            users=entity_ids(spec, "users"),
            items=items_on_offer(spec),
            end_of_log=end_of_log(spec),
        )
        history = summarise_history(connection, spec)
        sequence = spec.features.sequence
        relations = read_relations(connection, paths, spec, sequence) if sequence else None
        candidates = render_sql(
            COMMON_SQL / "candidates.sql",
            spec=spec,
            context=context_values(connection, spec),
            entity_features=[name for table in spec.entities for name in entity_features(spec, table)],
            entity_joins=entity_joins(spec),
            history=history,
        )
        users, items = fetch_one(
            connection,
            "SELECT (SELECT count(*) FROM candidate_users), (SELECT count(*) FROM candidate_items)",
        )
        users_at_once = max(1, ROWS_AT_ONCE // max(1, items))

        def frames() -> Iterator[pl.DataFrame]:
            for first in range(0, users, users_at_once):
                places = {"first": first, "end": first + users_at_once}
                frame = connection.sql(candidates, params=places).pl()
                yield frame.drop(PLACES).hstack(relate_candidates(relations, frame)) if relations else frame

        yield Candidates(frames(), connection.sql("FROM chosen").pl() if sequence else None)


def items_on_offer(spec: PipelineSpec) -> str:
    """The relation of the items that may be recommended to somebody: those available at the last event."""
    items = entity_ids(spec, "items")
    if not spec.available_from:
        return items
    since = f"coalesce({quote_identifier(spec.available_from)}::TIMESTAMP, '-infinity')"
    last = f"(SELECT max({end_of_log(spec)}) FROM interactions)"
    days = spec.recommendations.newest_days
    new_enough = f" AND {since} >= {last} - INTERVAL {days} DAY" if days else ""
    return f"(SELECT item_id FROM {items} WHERE {since} <= {last}{new_enough})"


def context_values(connection: duckdb.DuckDBPyConnection, spec: PipelineSpec) -> dict[str, str]:
    """By feature of interactions: SQL for the value that recommendations assume, NULL where none is declared.

    Raises UserError where a declared value does not fit its column.
    """
    types = column_types(connection, "interactions")
    values = {}
    for name in spec.context_features:
        values[name] = f"NULL::{types[name]}"
        if name not in spec.recommendations.context:
            continue
        literal = quote_literal(spec.recommendations.context[name])
        values[name] = f"{f'[{literal}]' if types[name].endswith('[]') else literal}::{types[name]}"
        try:
            (kept,) = fetch_one(connection, f"SELECT {values[name]}")
        except duckdb.ConversionException as error:
            raise UserError(
                f"recommendations.context in defs.yaml: {name} is {types[name]}, and {literal} is none ({error})"
            ) from error
        if isinstance(kept, int) and kept != float(spec.recommendations.context[name]):
            raise UserError(
                f"recommendations.context in defs.yaml: {name} is {types[name]}, and {literal} would become {kept}"
            )
    return values
