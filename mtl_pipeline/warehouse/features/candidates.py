"""Candidates for recommendation: every user with every item that they may be shown, with features as of now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import numpy as np

from mtl_pipeline.candidates import Block, Candidates, OfBoth
from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import COMMON_SQL, PipelinePaths
from mtl_pipeline.spec import HistoryFeature, PipelineSpec
from mtl_pipeline.warehouse.connection import column_types, fetch_one, open_warehouse, run_sql
from mtl_pipeline.warehouse.features.label_times import end_of_log
from mtl_pipeline.warehouse.features.point_in_time import (
    entity_features,
    entity_ids,
    entity_joins,
    id_column,
    summarise_history,
)
from mtl_pipeline.warehouse.features.sequences import last_places, read_relations, relate_candidates
from mtl_pipeline.warehouse.templates import quote_identifier, quote_identifiers, quote_literal, render_sql

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
        features = {table: entity_features(spec, table) for table in ("users", "items")}
        of_users, of_items, of_both = history_by_side(spec)
        context = context_values(connection, spec)
        run_sql(
            connection,
            "candidate_parts.sql",
            spec=spec,
            users=entity_ids(spec, "users"),
            items=items_on_offer(spec),
            end_of_log=end_of_log(spec),
            context=context,
            features=features,
            joins={table: entity_joins(spec, table) for table in features},
            kinds=of_both,
        )
        history = summarise_history(connection, spec)

        def known(
            rows: str, keys: list[str], columns: list[str], names: list[str], shown: bool = True
        ) -> str:
            values = {"rows": rows, "keys": keys, "columns": columns, "shown": columns if shown else []}
            return render_sql(COMMON_SQL / "candidates.sql", **values, history=history.of_features(names))

        kinds = [f"_kind_{number}" for number in range(len(of_both))]
        numbers = [*kinds, *(["_item"] if sequence else [])]
        columns = ["item_id", *features["items"], *numbers]
        items = connection.sql(known("candidate_items", ["_place"], columns, of_items)).pl()
        columns = ["user_id", *context, *features["users"], *(["_first", "_end"] if sequence else [])]
        users_sql = known(SOME_USERS, ["_place"], columns, of_users)
        both_sql = [
            known(
                f"{SOME_USERS} CROSS JOIN (SELECT DISTINCT {quote_identifiers([kind, *of_kind])} FROM candidate_items)",
                ["_place", kind],
                sorted({column for feature in declared for column in feature.reads}),
                [feature.name for feature in declared],
                shown=False,
            )
            for kind, (of_kind, declared) in zip(kinds, of_both.items(), strict=True)
        ]
        excluded = render_sql(COMMON_SQL / "candidates_excluded.sql", spec=spec)
        (users,) = fetch_one(connection, "SELECT count(*) FROM candidate_users")
        users_at_once = max(1, PAIRS_AT_ONCE // max(1, len(items)))

        def blocks() -> Iterator[Block]:
            for first in range(0, users, users_at_once):
                places = {"first": first, "end": min(users, first + users_at_once)}
                some = connection.sql(users_sql, params=places).pl()
                both = [
                    OfBoth(
                        connection.sql(sql, params=places).pl().drop("_place", kind), items[kind].to_numpy()
                    )
                    for kind, sql in zip(kinds, both_sql, strict=True)
                ]
                if relations:
                    both.append(OfBoth(relate_candidates(relations, some, items), np.arange(len(items))))
                    some = some.drop("_first", "_end").with_columns(last_places(some, relations.last))
                on_offer = np.ones((len(some), len(items)), dtype=bool)
                if spec.recommendations.exclude != "nothing":
                    pairs = connection.sql(excluded, params=places).pl()
                    on_offer[pairs["_user"], pairs["_item"]] = False
                yield Block(some.drop("_place"), both, on_offer)

        chosen = connection.sql("FROM chosen").pl() if sequence else None
        yield Candidates(items.drop("_place", *numbers), blocks(), chosen)


def history_by_side(
    spec: PipelineSpec,
) -> tuple[list[str], list[str], dict[tuple[str, ...], list[HistoryFeature]]]:
    """The history features of users alone, those of items alone, and those of both by the columns of items that they
    read."""
    columns = {table: {id_column(table), *entity_features(spec, table)} for table in ("users", "items")}
    of_users, of_items = [], []
    of_both: dict[tuple[str, ...], list[HistoryFeature]] = {}
    for feature in spec.features.history:
        if columns["items"].isdisjoint(feature.reads):
            of_users.append(feature.name)
        elif columns["users"].isdisjoint(feature.reads):
            of_items.append(feature.name)
        else:
            of_both.setdefault(tuple(sorted(columns["items"].intersection(feature.reads))), []).append(
                feature
            )
    return of_users, of_items, of_both


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
