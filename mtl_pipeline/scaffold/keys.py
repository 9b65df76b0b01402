"""Which columns are the user, the item and the time: by name, and by what the files share."""

from __future__ import annotations

from collections.abc import Collection, Iterator

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
    connection: duckdb.DuckDBPyConnection, interactions: Profile, entity: Profile, taken: Collection[str]
) -> tuple[Column, Column]:
    """The column of interactions that refers to a table, and the column of the table that it refers to.

    Same names count most, then names that sound like the entity, then how many values are found.
    """
    pairs = [
        ((same_name(theirs, ours), loudness(ours, entity.table), found), ours, theirs)
        for ours in interactions.columns.values()
        for theirs in entity.columns.values()
        if ours.name not in taken and theirs.unique and not is_time(ours)
        if (found := share_found(connection, interactions, ours, entity, theirs)) > 0
    ]
    certain = [pair for pair in pairs if pair[0][0] or pair[0][1] or pair[0][2] > 0.5]
    if not certain:
        raise UserError(
            f"no column of {interactions.path} holds the ids of {entity.path}: "
            f"{', '.join(interactions.columns)} against {', '.join(entity.columns)}. "
            f"Name it: --{entity.table.removesuffix('s')}-id COLUMN"
        )
    _, ours, theirs = max(certain, key=lambda pair: pair[0])
    return ours, theirs


def find_id(interactions: Profile, table: str, taken: Collection[str]) -> Column | None:
    """The id of users or items where there is no table of them: by its name alone."""
    heard = [
        (loudness(column, table), column)
        for column in interactions.columns.values()
        if column.name not in taken and loudness(column, table) > 0
    ]
    return max(heard, key=lambda pair: pair[0])[1] if heard else None


def find_time(interactions: Profile, taken: Collection[str]) -> Column | None:
    """A column of times whose name says so; failing that, one that holds dates."""
    timed = [
        column for column in interactions.columns.values() if column.time_format and column.name not in taken
    ]
    named = [
        (TIME_WORDS.index(word), column) for column in timed for word in column.words if word in TIME_WORDS
    ]
    if named:
        return min(named, key=lambda pair: pair[0])[1]
    return next((column for column in timed if not column.numeric), None)


def loudness(column: Column, table: str) -> float:
    """How much a name sounds like the id of a table: 0 not at all, 1 at most."""
    words = WORDS[table]
    heard = [words.index(word) for word in column.words if word in words]
    if not heard or not (len(column.words) == 1 or ID_WORDS & set(column.words)):
        return 0
    return 1 - min(heard) / len(words)


def same_name(theirs: Column, ours: Column) -> bool:
    return theirs.words == ours.words


def is_time(column: Column) -> bool:
    return column.time_format is not None and bool(set(TIME_WORDS) & set(column.words))


def share_found(
    connection: duckdb.DuckDBPyConnection,
    interactions: Profile,
    ours: Column,
    entity: Profile,
    theirs: Column,
) -> float:
    """Share of the distinct values of `ours` that `theirs` has."""
    if not ours.distinct:
        return 0
    (found,) = fetch_one(
        connection,
        f"SELECT count(*) FROM (SELECT DISTINCT {quote_identifier(ours.name)} AS value "
        f"FROM raw_{interactions.table}) SEMI JOIN (SELECT {quote_identifier(theirs.name)} AS value "
        f"FROM raw_{entity.table}) USING (value)",
    )
    return found / ours.distinct


def find_interaction_key(
    connection: duckdb.DuckDBPyConnection, interactions: Profile, candidates: Iterator[dict[str, str]]
) -> list[str]:
    """The first candidate that tells nearly all rows apart, by canonical name; each maps it to a raw column."""
    last: list[str] = []
    for candidate in candidates:
        (distinct,) = fetch_one(
            connection,
            f"SELECT count(*) FROM (SELECT DISTINCT {quote_identifiers(candidate.values())} "
            f"FROM raw_{interactions.table})",
        )
        last = list(candidate)
        if distinct >= 0.98 * interactions.rows:
            break
    return last
