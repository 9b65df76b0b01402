"""Which columns are the user, the item and the time: by name, and by what the files share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import duckdb

from mtl_pipeline.errors import UserError
from mtl_pipeline.scaffold.profile import MOST, Column, Profile, words
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
        document doc page job asset offer good goods iid stock
    """),
}
"""Words in the names of ids, surest first."""
ID_WORDS = words("id ids key code sku isbn asin uid iid number no")
TIME_WORDS = words("timestamp time datetime ts date created occurred at when day")


def find_shared_key(
    connection: duckdb.DuckDBPyConnection, log: Profile, entity: Profile, candidates: Collection[Column]
) -> tuple[Column, Column]:
    """Which of the candidates among the columns of a log refers to a table, and to which of its columns.

    Same names count most, then names that sound like the entity, then the share of distinct values that match.
    Raises UserError where none does.
    """
    matched = connection.execute(
        "SELECT ours.name, theirs.name, count(*) FROM values_interactions AS ours "
        f"JOIN values_{entity.table} AS theirs USING (value) GROUP BY ALL"
    ).fetchall()
    pairs = [
        ((ours.words == theirs.words, loudness(ours, entity.table), count / ours.distinct), ours, theirs)
        for our_name, their_name, count in matched
        if (ours := log.columns[our_name]) in candidates and not is_time(ours)
        if (theirs := entity.columns[their_name]).unique
    ]
    certain = [pair for pair in pairs if pair[0][0] or pair[0][1] or pair[0][2] > 0.5]
    if not certain:
        raise UserError(
            f"no column of {log.path} holds the ids of {entity.path}: "
            f"{', '.join(column.name for column in candidates)} against {', '.join(entity.columns)}. "
            f"Name it: --{entity.table.removesuffix('s')}-id COLUMN"
        )
    _, ours, theirs = max(certain, key=lambda pair: pair[0])
    return ours, theirs


def find_id(candidates: Collection[Column], table: str) -> Column | None:
    """The id of users or items where there is no table of them: by its name alone."""
    loudest = max(candidates, key=lambda column: loudness(column, table), default=None)
    return loudest if loudest and loudness(loudest, table) > 0 else None


def find_time(candidates: Collection[Column]) -> Column | None:
    """A column of times whose name says so; failing that, one that holds dates."""
    if named := [column for column in candidates if is_time(column)]:
        return min(named, key=lambda column: min(map(TIME_WORDS.index, {*TIME_WORDS} & {*column.words})))
    return next((column for column in candidates if column.time_formats and not column.numeric), None)


def loudness(column: Column, table: str) -> float:
    """How much a name sounds like the id of a table: 0 not at all, 1 at most."""
    heard = [WORDS[table].index(word) for word in column.words if word in WORDS[table]]
    if not heard or not (len(column.words) == 1 or column.sounds(ID_WORDS)):
        return 0
    return 1 - min(heard) / len(WORDS[table])


def is_time(column: Column) -> bool:
    return bool(column.time_formats) and column.sounds(TIME_WORDS)


def columns_of(
    connection: duckdb.DuckDBPyConnection, key: Column, others: Collection[Column]
) -> dict[str, Column]:
    """Those of the other columns of a log that belong to the key, as a title to each item, dirt aside. What is 0 or 1
    is rather said of a row."""
    others = [column for column in others if not (column.useless or column.boolean)]
    if key.distinct > key.rows / 2:
        return {}
    return {
        column.name: replace(column, rows=key.distinct, present=min(column.present, key.distinct))
        for column in others
        if predictability(connection, column, key) >= MOST
    }


def predictability(connection: duckdb.DuckDBPyConnection, column: Column, key: Column) -> float:
    """How many of the errors in guessing a column of the log vanish once the key is known: 0 to 1.

    Goodman and Kruskal's lambda (1954, https://doi.org/10.1080/01621459.1954.10501231): unlike a count of values, it is
    near 0 where one value is simply frequent, and near 1 where a few rows are wrong. A key seen once tells nothing.
    """
    key_name, name = quote_identifier(key.name), quote_identifier(column.name)
    known, unknown, rows = fetch_one(
        connection,
        f"WITH pairs AS (FROM raw_interactions SELECT {key_name} AS key, {name} AS value), "
        "counted AS (SELECT key, value, count(*) AS rows FROM pairs WHERE key IS NOT NULL AND value IS NOT NULL "
        "GROUP BY 1, 2 QUALIFY sum(count(*)) OVER (PARTITION BY key) > 1) "
        "SELECT (SELECT sum(most) FROM (SELECT max(rows) AS most FROM counted GROUP BY key)), "
        "(SELECT max(rows) FROM (SELECT sum(rows) AS rows FROM counted GROUP BY value)), sum(rows) FROM counted",
    )
    return float((known - unknown) / (rows - unknown)) if rows and rows > unknown else 0.0


def find_interaction_key(
    connection: duckdb.DuckDBPyConnection, log: Profile, ids: Mapping[str, Column], time: Column | None
) -> list[str]:
    """The user and the item, or else the time as well, where they tell nearly all rows apart; failing that, the line.
    Where there is a time, rows that are alike in everything are one."""
    roles = {**ids, **({"timestamp": time} if time else {})}
    keys = [[*ids]] * (len(ids) == 2) + [[*roles]] * bool(ids)
    columns = [quote_identifiers(roles[role].name for role in key) for key in keys]
    counted = [
        f"(SELECT count(*) FROM (SELECT DISTINCT {key} FROM raw_interactions))" for key in [*columns, "*"]
    ]
    *counts, different = fetch_one(connection, f"SELECT {', '.join(counted)}")
    rows = different if time else log.rows
    found = (key for key, count in zip(keys, counts, strict=True) if count >= 0.98 * rows)
    return next(found, [*ids, "source_file", "source_line"])
