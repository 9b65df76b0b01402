"""Which columns are the user, the item and the time: by name, and by what the files share."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import duckdb

from mtl_pipeline.errors import UserError
from mtl_pipeline.scaffold.profile import Column, Profile, words
from mtl_pipeline.warehouse.connection import fetch_one
from mtl_pipeline.warehouse.templates import quote_identifier, quote_identifiers

WORDS = {
    "users": words("""
        user customer client visitor person member buyer shopper reader viewer subscriber account student patient
        uid session
    """),
    "items": words("""
        item movie film product sku content article book isbn asin song track artist video clip episode news ad
        advert campaign game recipe course listing property hotel restaurant business place poi post paper
        document doc page job asset offer good goods iid
    """),
}
"""Words in the names of ids, surest first."""
ID_WORDS = set(words("id ids key code sku isbn asin uid iid number no"))
TIME_WORDS = words("timestamp time datetime ts date created occurred at when day")


def find_shared_key(
    connection: duckdb.DuckDBPyConnection,
    interactions: Profile,
    entity: Profile,
    candidates: Collection[Column],
) -> tuple[Column, Column]:
    """Which of the candidates among the columns of interactions refers to a table, and to which of its columns.

    Same names count most, then names that sound like the entity, then the share of values that match.
    Raises UserError where none does.
    """
    pairs = [
        ((ours.words == theirs.words, loudness(ours, entity.table), share), ours, theirs)
        for ours in candidates
        for theirs in entity.columns.values()
        if theirs.unique and not is_time(ours)
        if (share := share_matched(connection, ours, entity.table, theirs)) > 0
    ]
    certain = [pair for pair in pairs if pair[0][0] or pair[0][1] or pair[0][2] > 0.5]
    if not certain:
        raise UserError(
            f"no column of {interactions.path} holds the ids of {entity.path}: "
            f"{', '.join(column.name for column in candidates)} against {', '.join(entity.columns)}. "
            f"Name it: --{entity.table.removesuffix('s')}-id COLUMN"
        )
    _, ours, theirs = max(certain, key=lambda pair: pair[0])
    return ours, theirs


def find_id(candidates: Collection[Column], table: str) -> Column | None:
    """The id of users or items where there is no table of them: by its name alone."""
    loudest = max(candidates, key=lambda column: loudness(column, table), default=None)
    return loudest if loudest and loudness(loudest, table) > 0 else None


def find_time(candidates: Iterable[Column]) -> Column | None:
    """A column of times whose name says so; failing that, one that holds dates."""
    timed = [column for column in candidates if column.time_format]
    named = [column for column in timed if is_time(column)]
    if named:
        return min(named, key=lambda column: min(map(TIME_WORDS.index, set(TIME_WORDS) & set(column.words))))
    return next((column for column in timed if not column.numeric), None)


def loudness(column: Column, table: str) -> float:
    """How much a name sounds like the id of a table: 0 not at all, 1 at most."""
    words = WORDS[table]
    heard = [words.index(word) for word in column.words if word in words]
    if not heard or not (len(column.words) == 1 or ID_WORDS & set(column.words)):
        return 0
    return 1 - min(heard) / len(words)


def is_time(column: Column) -> bool:
    return column.time_format is not None and bool(set(TIME_WORDS) & set(column.words))


def share_matched(connection: duckdb.DuckDBPyConnection, ours: Column, table: str, theirs: Column) -> float:
    """Share of the distinct values of `ours`, of interactions, that a column of the other table has."""
    (matched,) = fetch_one(
        connection,
        f"SELECT count(*) FROM (SELECT DISTINCT {quote_identifier(ours.name)} AS value "
        f"FROM raw_interactions) SEMI JOIN (SELECT {quote_identifier(theirs.name)} AS value "
        f"FROM raw_{table}) USING (value)",
    )
    return matched / max(ours.distinct, 1)


def find_interaction_key(
    connection: duckdb.DuckDBPyConnection, interactions: Profile, ids: dict[str, Column], time: Column | None
) -> list[str]:
    """The user and the item where they tell nearly all rows apart, else the time as well."""
    if not ids:
        return ["source_line"]
    if time is None:
        return list(ids)
    columns = quote_identifiers(column.name for column in ids.values())
    (distinct,) = fetch_one(
        connection, f"SELECT count(*) FROM (SELECT DISTINCT {columns} FROM raw_interactions)"
    )
    return list(ids) if len(ids) == 2 and distinct >= 0.98 * interactions.rows else [*ids, "timestamp"]
