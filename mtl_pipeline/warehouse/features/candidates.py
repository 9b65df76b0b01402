"""Candidates for recommendation: every user with every item that they may be shown, with features as of now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import numpy as np
import polars as pl

from mtl_pipeline.candidates import Block, Candidates, OfBoth
from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import COMMON_SQL, PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.connection import column_types, fetch_one, open_warehouse, run_sql
from mtl_pipeline.warehouse.features.history import History
from mtl_pipeline.warehouse.features.label_times import end_of_log
from mtl_pipeline.warehouse.features.point_in_time import (
    entity_features,
    entity_ids,
    entity_joins,
    id_column,
    summarise_history,
)
from mtl_pipeline.warehouse.features.relations import Relations
from mtl_pipeline.warehouse.features.sequences import last_places, read_relations, relate_candidates
from mtl_pipeline.warehouse.templates import quote_identifier, quote_identifiers, quote_literal, render_sql

TABLES = ("users", "items")
PAIRS_AT_ONCE = 500_000
SOME_USERS = "(FROM candidate_users WHERE _place >= $first AND _place < $end)"


@contextmanager
def build_candidates(paths: PipelinePaths, spec: PipelineSpec) -> Iterator[Candidates]:
    """Yield the candidates of all users.

    "Now" is one second after the last event, the same for all users, so the log is summed up once, before the first
    block. A block has about PAIRS_AT_ONCE pairs, or those of one user where the catalogue is larger.
    """
    with open_warehouse(paths.warehouse, read_only=True, settings=spec.warehouse) as connection:
        sequence = spec.features.sequence
        relations = read_relations(connection, paths, spec, sequence) if sequence else None
        history = HistoryBySide.of(spec)
        run_sql(
            connection,
            "candidate_parts.sql",
            spec=spec,
            users=entity_ids(spec, "users"),
            items=items_on_offer(spec),
            end_of_log=end_of_log(spec),
            context=context_values(connection, spec),
            features={table: entity_features(spec, table) for table in TABLES},
            joins={table: entity_joins(spec, table) for table in TABLES},
            kinds=history.kinds.values(),
        )
        queries = Queries.of(spec, history, summarise_history(connection, spec))
        items = connection.sql(queries.items).pl()
        chosen = connection.sql("FROM chosen").pl() if sequence else None
        own = items.drop("_place", "_item", *history.kinds, strict=False)
        (users,) = fetch_one(connection, "SELECT count(*) FROM candidate_users")
        yield Candidates(own, blocks(connection, queries, relations, items, users), users, chosen)


def blocks(
    connection: duckdb.DuckDBPyConnection,
    queries: Queries,
    relations: Relations | None,
    items: pl.DataFrame,
    count: int,
) -> Iterator[Block]:
    users_at_once = max(1, PAIRS_AT_ONCE // max(1, len(items)))
    for first in range(0, count, users_at_once):
        places = {"first": first, "end": min(count, first + users_at_once)}
        users, excluded = (
            connection.sql(sql, params=places).pl() for sql in (queries.users, queries.excluded)
        )
        of_both = [
            OfBoth(connection.sql(sql, params=places).pl().drop("_place", kind), items[kind].to_numpy())
            for kind, sql in queries.of_both.items()
        ]
        if relations:
            of_both.append(OfBoth(relate_candidates(relations, users, items), np.arange(len(items))))
            users = users.drop("_first", "_end").with_columns(last_places(users, relations.last))
        on_offer = np.ones((len(users), len(items)), dtype=bool)
        on_offer[excluded["_user"], excluded["_item"]] = False
        yield Block(users.drop("_place"), of_both, on_offer)


@dataclass(frozen=True)
class HistoryBySide:
    """The names of history features."""

    of_users: list[str]
    of_items: list[str]
    of_both: dict[tuple[str, ...], list[str]]
    """By the columns of items that they read."""

    @classmethod
    def of(cls, spec: PipelineSpec) -> HistoryBySide:
        users, items = ({id_column(table), *entity_features(spec, table)} for table in TABLES)
        sides = cls([], [], {})
        for feature in spec.features.history:
            columns = tuple(sorted(items & feature.reads))
            if not columns:
                sides.of_users.append(feature.name)
            elif not users & feature.reads:
                sides.of_items.append(feature.name)
            else:
                sides.of_both.setdefault(columns, []).append(feature.name)
        return sides

    @property
    def kinds(self) -> dict[str, tuple[str, ...]]:
        """Columns of candidate_items that number items which have the same values in some columns."""
        return {f"_kind_{number}": columns for number, columns in enumerate(self.of_both)}


@dataclass(frozen=True)
class Queries:
    """SQL: all but `items` of the users from place $first to before $end."""

    items: str
    users: str
    of_both: dict[str, str]
    """By the kind of items."""
    excluded: str

    @classmethod
    def of(cls, spec: PipelineSpec, sides: HistoryBySide, history: History) -> Queries:
        def known(rows: str, keys: list[str], names: list[str]) -> str:
            values = {"rows": rows, "keys": keys, "history": history.of_features(names)}
            return render_sql(COMMON_SQL / "candidates.sql", **values)

        def kinds(kind: str, columns: Iterable[str]) -> str:
            return f"(SELECT DISTINCT {quote_identifiers([kind, *columns])} FROM candidate_items)"

        with_columns = "FROM candidate_{} JOIN ({}) USING (_place) ORDER BY _place"
        return cls(
            items=with_columns.format("items", known("candidate_items", ["_place"], sides.of_items)),
            users=with_columns.format("users", known(SOME_USERS, ["_place"], sides.of_users)),
            of_both={
                kind: known(
                    f"{SOME_USERS} CROSS JOIN {kinds(kind, columns)}",
                    ["_place", kind],
                    sides.of_both[columns],
                )
                for kind, columns in sides.kinds.items()
            },
            excluded=render_sql(COMMON_SQL / "candidates_excluded.sql", spec=spec),
        )


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
