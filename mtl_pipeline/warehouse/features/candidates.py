"""Candidates for recommendation: users with the items that they may be shown, with features as of now. Items are all of
them, or those of the candidate stage (see retrieval)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import numpy as np
import polars as pl

from mtl_pipeline.candidates import Block, Candidates, OfBoth
from mtl_pipeline.errors import UserError
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.paths import COMMON_SQL, PipelinePaths
from mtl_pipeline.spec import CHOSEN_FROM, CHOSEN_TO, PipelineSpec, Sequence
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
from mtl_pipeline.warehouse.features.retrieval import CELLS_AT_ONCE, Retrieval, as_lists
from mtl_pipeline.warehouse.features.sequences import last_places, read_relations, relate, relate_candidates
from mtl_pipeline.warehouse.templates import quote_identifier, quote_identifiers, quote_literal, render_sql

TABLES = ("users", "items")
PAIRS_AT_ONCE = 500_000
SOME_USERS = "(FROM candidate_users WHERE _place >= $first AND _place < $end AND _place % $step = 0)"
LISTED = (
    "(FROM listed JOIN candidate_users USING (_place) "
    "JOIN (SELECT * RENAME (_place AS _listed) FROM candidate_items) USING (_listed))"
)
"""The pairs of a block after a candidate stage."""
LATELY = 30
"""Days of which the most popular items are."""
LATER = 2**62
"""Microseconds: after every event."""


@contextmanager
def build_candidates(paths: PipelinePaths, spec: PipelineSpec) -> Iterator[Candidates]:
    """Yield the candidates of all users.

    "Now" is one second after the last event, the same for all users, so the log is summed up once, before the first
    block. A block has about PAIRS_AT_ONCE pairs, or those of one user where the catalogue is larger.
    """
    with open_warehouse(paths.warehouse, read_only=True, settings=spec.warehouse) as connection:
        stage, declared = spec.recommendations.candidates, spec.features.sequence
        looks_back = bool(stage and {"neighbours", "text"} & set(stage.sources))
        sequence = declared or (Sequence() if looks_back else None)
        relations = read_relations(connection, paths, spec, sequence) if sequence else None
        history = HistoryBySide.of(spec)
        run_sql(
            connection,
            "candidate_parts.sql",
            spec=spec,
            sequence=sequence,
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
        ranks = connection.sql(queries.popularity).pl()
        chosen = connection.sql("FROM chosen").pl() if declared else None
        own = items.drop("_place", "_item", *history.kinds, strict=False)
        retrieval = (
            Retrieval.of(stage, ranks, relations, items["_item"] if sequence else None) if stage else None
        )
        make = Blocks(connection, queries, items, relations if declared else None, retrieval)
        yield Candidates(own, make.all(), make.count, make.sample(), ranks["chosen"].to_numpy(), chosen)


@dataclass(frozen=True)
class Blocks:
    """What blocks of candidates are made from."""

    connection: duckdb.DuckDBPyConnection
    queries: Queries
    items: pl.DataFrame
    """With their places, and numbers of kinds."""
    relations: Relations | None
    """Where pairs have features of them."""
    retrieval: Retrieval | None

    def all(self) -> Iterator[Block]:
        retrieval, most, cells = self.retrieval, len(self.items), PAIRS_AT_ONCE
        if retrieval:
            most, cells = retrieval.stage.each * len(retrieval.stage.sources), CELLS_AT_ONCE
        at_once = min(PAIRS_AT_ONCE // max(1, most), cells // max(1, len(self.items)))
        for users, on_offer, places in self.users(max(1, at_once)):
            if retrieval:
                items, on_offer = as_lists(retrieval.found(users, on_offer))
                yield Block(self.of_users(users), self.of_pairs(users, items), on_offer, items)
            else:
                yield Block(self.of_users(users), self.of_kinds(users, places), on_offer)

    def sample(self) -> Iterator[Block]:
        """Of the candidate stage's `sample` users, or up to twice as many: every n-th."""
        if self.retrieval:
            step = max(1, self.count // self.retrieval.stage.sample)
            at_once = max(1, PAIRS_AT_ONCE // max(1, len(self.items)))
            for users, on_offer, places in self.users(at_once, step):
                found = self.retrieval.found(users, on_offer)
                yield Block(self.of_users(users), self.of_kinds(users, places), on_offer, found=found)

    @property
    def count(self) -> int:
        (count,) = fetch_one(self.connection, "SELECT count(*) FROM candidate_users")
        return count

    def users(self, at_once: int, step: int = 1) -> Iterator[tuple[pl.DataFrame, np.ndarray, dict[str, int]]]:
        """Every `step`-th user, some at a time: their features, the items on offer to them, and their places."""
        count, sql = self.count, self.connection.sql
        for first in range(0, count, at_once * step):
            places = {"first": first, "end": min(count, first + at_once * step), "step": step}
            users, excluded = (
                sql(one, params=places).pl() for one in (self.queries.users, self.queries.excluded)
            )
            on_offer = np.ones((len(users), len(self.items)), dtype=bool)
            on_offer[excluded["_user"], excluded["_item"]] = False
            yield users, on_offer, places

    def of_users(self, users: pl.DataFrame) -> pl.DataFrame:
        past = last_places(users, self.relations.last) if self.relations else ()
        return users.with_columns(past).drop("_place", "_first", "_end", strict=False)

    def of_kinds(self, users: pl.DataFrame, places: dict[str, int]) -> list[OfBoth]:
        """Features of both, with all items."""
        of_both = [
            OfBoth(
                self.connection.sql(sql, params=places).pl().drop("_place", kind), self.items[kind].to_numpy()
            )
            for kind, sql in self.queries.of_both.items()
        ]
        if self.relations:
            related = relate_candidates(self.relations, users, self.items)
            of_both.append(OfBoth(related, np.arange(len(self.items))))
        return of_both

    def of_pairs(self, users: pl.DataFrame, items: np.ndarray) -> list[OfBoth]:
        """The same, of each user with items of their own: int64 [users, places]."""
        user, place = (index.ravel() for index in np.indices(items.shape))
        frames = []
        if self.queries.of_listed:
            listed = {"_place": users["_place"].to_numpy()[user], "_slot": place, "_listed": items.ravel()}
            self.connection.register("listed", pl.DataFrame(listed))
            frames.append(self.connection.sql(self.queries.of_listed).pl().drop("_place", "_slot"))
        if self.relations:
            pairs = users.select("_first", "_end", _time=pl.lit(LATER))[user]
            related = relate(self.relations, pairs.with_columns(self.items["_item"][items.ravel()]))
            frames.append(related.drop(CHOSEN_FROM, CHOSEN_TO))
        return [OfBoth(frame, np.arange(items.shape[1])) for frame in frames]


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
    """SQL: what is of users, of every $step-th from place $first to before $end."""

    items: str
    popularity: str
    users: str
    of_both: dict[str, str]
    """By the kind of items."""
    of_listed: str
    """All of these of the pairs in LISTED; empty without any."""
    excluded: str

    @classmethod
    def of(cls, spec: PipelineSpec, sides: HistoryBySide, history: History) -> Queries:
        def known(rows: str, keys: list[str], names: list[str]) -> str:
            values = {"rows": rows, "keys": keys, "history": history.of_features(names)}
            return render_sql(COMMON_SQL / "candidates.sql", **values)

        def kinds(kind: str, columns: Iterable[str]) -> str:
            return f"(SELECT DISTINCT {quote_identifiers([kind, *columns])} FROM candidate_items)"

        root, everything = spec.root_task, [name for names in sides.of_both.values() for name in names]
        chosen = "true" if KINDS[root.kind].has_classes else f"{quote_identifier(root.column)} > 0"
        with_columns = "FROM candidate_{} JOIN ({}) USING (_place) ORDER BY _place"
        return cls(
            items=with_columns.format("items", known("candidate_items", ["_place"], sides.of_items)),
            popularity=render_sql(COMMON_SQL / "popularity.sql", spec=spec, days=LATELY, chosen=chosen),
            users=with_columns.format("users", known(SOME_USERS, ["_place"], sides.of_users)),
            of_both={
                kind: known(
                    f"{SOME_USERS} CROSS JOIN {kinds(kind, columns)}",
                    ["_place", kind],
                    sides.of_both[columns],
                )
                for kind, columns in sides.kinds.items()
            },
            of_listed=known(LISTED, ["_place", "_slot"], everything) if everything else "",
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


def excluded_pairs(spec: PipelineSpec) -> str:
    """The relation of user_id and item_id of what is not recommended because of what the user did with it."""
    pairs = "(SELECT DISTINCT user_id, item_id FROM interactions WHERE {})"
    chosen = quote_identifier(spec.root_task.column)
    return pairs.format(
        {"shown": "true", "chosen": f"{chosen} > 0", "nothing": "false"}[spec.recommendations.exclude]
    )


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
