"""What the columns of raw files hold: counted in DuckDB, over all rows."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import RawFiles
from mtl_pipeline.warehouse.connection import column_types, fetch_one
from mtl_pipeline.warehouse.reading.dialect import read_dialect
from mtl_pipeline.warehouse.reading.pieces import unpacked
from mtl_pipeline.warehouse.reading.raw import find_raw_files
from mtl_pipeline.warehouse.reading.scan import open_scan
from mtl_pipeline.warehouse.templates import quote_identifier, quote_identifiers, quote_literals

MOST = 0.95
"""A column is of a type when at least this share of its values is: the rest are dirty."""
MOST_VALUES = 20
"""Distinct values up to which they are listed."""
SAMPLE = 10_000
"""Distinct values in which times and lists are looked for, which is slow."""
LONGEST_CATEGORY = 60
LONGEST_PART = 40
"""Characters of a value in a list."""
PARTS = {"[]": "TRY(from_json({}, '[\"VARCHAR\"]'))"} | {
    mark: f"string_split({{}}, '{mark}')" for mark in "|;,"
}
"""SQL that makes a VARCHAR[] of a field that lists several values, by what separates them; []: JSON."""
TIME_FORMATS = (
    "seconds", "milliseconds", "microseconds", "ISO", "day/month/year", "month/day/year", "day.month.year"
)  # fmt: skip
"""Units of the macro moment() in warehouse/sql/macros.sql; the first that fits is taken."""


@dataclass(frozen=True)
class Column:
    """One column of a raw file. Blank fields are not present."""

    name: str
    typed: bool
    """Whether it is not text: a column of Parquet."""
    rows: int
    present: int
    distinct: int
    whole: bool
    """Whether most are whole numbers as the macro whole_number() takes them: without leading zeros, for one."""
    numeric: bool
    boolean: bool
    opaque: bool
    """Whether most are links or JSON objects."""
    minimum: float
    maximum: float
    """NaN where there are no numbers."""
    length: float
    """Mean number of characters."""
    values: list[str]
    """The distinct values, most frequent first, where there are at most MOST_VALUES."""
    time_formats: list[str]
    """Those of TIME_FORMATS that fit."""
    separator: str | None
    """Between the values of a field that lists several, a key of PARTS."""

    @property
    def words(self) -> list[str]:
        return snake_case(self.name).split("_")

    def sounds(self, words: Collection[str]) -> bool:
        """Whether the name has one of these words."""
        return not set(self.words).isdisjoint(words)

    @property
    def range(self) -> str:
        return f"seen: {short(self.minimum)} to {short(self.maximum)}"

    @property
    def sql(self) -> str:
        return reference(self.name)

    @property
    def text(self) -> str:
        """SQL of the column as VARCHAR."""
        return f"{self.sql}::VARCHAR" if self.typed else self.sql

    @property
    def parts(self) -> str:
        """SQL of a list as VARCHAR[]."""
        if self.typed:
            return f"{self.sql}::VARCHAR[]"
        parts = PARTS[self.separator or "[]"].format(self.sql)
        return parts if self.separator == "[]" else f"list_transform({parts}, lambda part: trim(part))"

    @property
    def identifies(self) -> bool:
        return self.words[-1] in ("id", "ids", "uuid", "guid", "hash")

    @property
    def unique(self) -> bool:
        """Whether it may be the key of its table; a few repeated or missing ones are dirt."""
        return self.rows > 0 and self.distinct >= 0.9 * self.rows

    @property
    def category(self) -> bool:
        return self.distinct <= self.present / 2 and self.length <= LONGEST_CATEGORY

    @property
    def useless(self) -> str | None:
        """Why the column tells nothing, if so."""
        reasons = {
            "empty": self.distinct == 0,
            "always the same": self.distinct == 1,
            "links or objects": self.opaque,
            "technical": self.sounds(["agent"]) or self.words == ["index"],
            "numbers the rows": self.unique and self.whole and self.minimum in (0, 1),
        }
        return next((reason for reason, holds in reasons.items() if holds), None)


@dataclass(frozen=True)
class Profile:
    """The raw files of one table, whose content lies in the connection as raw_<table>, all text."""

    table: str
    path: str
    header: list[str]
    columns: dict[str, Column]
    rows: int
    decimal_commas: list[str]


def profile_table(
    connection: duckdb.DuckDBPyConnection, paths: PipelinePaths, raw: RawFiles, table: str
) -> Profile:
    """Read the files as a run would, and count what their columns hold.

    Leaves the tables raw_<table> and values_<table>: name, value, how many rows `n` have it, and whether it is
    `sampled`. Raises UserError where the files are missing or empty, or have no usable header.
    """
    path, name = getattr(raw, table), f"raw_{table}"
    files = find_raw_files(paths, raw, table)
    dialect = None if files[0].is_parquet else read_dialect(files, raw, table)
    with TemporaryDirectory() as folder, unpacked(files, Path(folder) / "warehouse") as readable:
        header = open_scan(connection, table, readable, dialect).columns
        types = dict(zip(header, column_types(connection, name).values(), strict=False))
        texts = ", ".join(as_text(column, type_) for column, type_ in types.items())
        (rows,) = fetch_one(connection, f"CREATE TEMP TABLE profiled AS SELECT {texts} FROM {name}")
    if not rows:
        raise UserError(f"{path} has no rows below its header: nothing can be told from it")
    connection.execute(
        f"""
        DROP VIEW {name};
        ALTER TABLE profiled RENAME TO {name};
        CREATE TEMP TABLE values_{table} AS
        SELECT
            name, value, count(*) AS n,
            (sum(n) OVER named)::BIGINT AS present,
            count(*) OVER named AS "distinct",
            row_number() OVER (named ORDER BY hash(value)) <= {SAMPLE} AS sampled
        FROM (UNPIVOT {name} ON {quote_identifiers(header)} INTO NAME name VALUE value)
        GROUP BY name, value WINDOW named AS (PARTITION BY name)
        """
    )
    commas = replace_decimal_commas(connection, table)
    odd = connection.execute(f"SELECT name FROM values_{table} WHERE value = name").fetchall()
    if len(odd) > 1:
        raise UserError(
            f"{path}: line 1 looks like a row, not like names of columns: {', '.join(name for (name,) in odd)}. "
            f"If the file has no header, name its columns: --{table}-columns first,second,…"
        )
    return Profile(table, path, header, count_columns(connection, table, types, rows), rows, commas)


def as_text(name: str, type_: str) -> str:
    """SQL that makes text of a column; lists and objects become JSON."""
    json, name = "[" in type_ or type_.startswith(("STRUCT", "MAP")), quote_identifier(name)
    return f"{'to_json' if json else ''}({name})::VARCHAR AS {name}"


def replace_decimal_commas(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """Put points for commas in numbers such as 12,5; returns the columns that hold such numbers. Where all commas stand
    before three digits, they may mark thousands."""
    changed = connection.execute(
        rf"""
        UPDATE values_{table} SET value = replace(value, ',', '.') WHERE name IN (
            SELECT name FROM values_{table} GROUP BY name
            HAVING sum(n) FILTER (regexp_full_match(value, '-?\d+(,\d+)?')) >= {MOST} * sum(n)
                AND count_if(regexp_full_match(value, '-?\d+,(\d\d?|\d{{4,}})')) > 0
        ) RETURNING name
        """
    ).fetchall()
    return sorted({name for (name,) in changed})


def count_columns(
    connection: duckdb.DuckDBPyConnection, table: str, types: Mapping[str, str], rows: int
) -> dict[str, Column]:
    def mostly(condition: str, share: float = MOST) -> str:
        return f"coalesce(sum(n) FILTER ({condition}) >= {share} * sum(n), false)"

    times = {unit: mostly(f"moment(value, '{unit}', 1990, 2100) IS NOT NULL") for unit in TIME_FORMATS}
    # Lists in a fifth of the fields, of short parts that come again.
    lists = {
        mark: f"""{mostly(f"len({parts}) > 1", 0.2)}
            AND list_unique(flatten(list({parts}))) <= sum(n * len({parts})) / 2
            AND max(list_max(list_transform({parts}, lambda part: length(part)))) <= {LONGEST_PART}"""
        for mark, parts in ((mark, sql.format("value")) for mark, sql in PARTS.items())
    }
    counted = connection.sql(
        f"""
        SELECT
            name,
            coalesce(any_value(present), 0) AS present,
            coalesce(any_value("distinct"), 0) AS "distinct",
            {mostly("whole_number(value) IS NOT NULL")} AS whole,
            {mostly("decimal_number(value) IS NOT NULL")} AS numeric,
            {mostly("flag(value) IS NOT NULL")} AND count_if(decimal_number(value) NOT IN (0, 1)) <= 1 AS boolean,
            {mostly("regexp_matches(value, '^(https?://|[{])')")} AS opaque,
            coalesce(min(decimal_number(value)), 'nan') AS minimum,
            coalesce(max(decimal_number(value)), 'nan') AS maximum,
            coalesce(sum(n * length(value)) / sum(n), 0) AS length,
            CASE WHEN count(value) BETWEEN 1 AND {MOST_VALUES} THEN list(value ORDER BY n DESC, value) ELSE [] END
                AS values,
            {fitting(times)} AS time_formats,
            ({fitting(lists)})[1] AS separator
        FROM (SELECT unnest([{quote_literals(types)}]) AS name)
        LEFT JOIN (FROM values_{table} WHERE sampled) USING (name)
        GROUP BY name ORDER BY list_position([{quote_literals(types)}], name)
        """
    ).pl()
    return {
        row["name"]: Column(**row, typed=types[row["name"]] != "VARCHAR", rows=rows)
        for row in counted.iter_rows(named=True)
    }


def fitting(conditions: Mapping[str, str]) -> str:
    """SQL: the list of those names whose condition holds."""
    cases = ", ".join(f"CASE WHEN {condition} THEN '{name}' END" for name, condition in conditions.items())
    return f"list_filter([{cases}], lambda name: name IS NOT NULL)"


def short(number: float) -> str:
    """4.0 -> 4, 0.5 -> 0.5."""
    return f"{number:.10g}"


def words(text: str) -> list[str]:
    return text.split()


def snake_case(name: str) -> str:
    """A lower-case SQL identifier: personId -> person_id, "Sign-up date" -> sign_up_date."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.strip())
    plain = re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")
    return plain if plain[:1].isalpha() else f"column_{plain}".rstrip("_")


def reference(name: str) -> str:
    """A column in SQL: quoted only where it must be."""
    plain = name.isascii() and name.isidentifier() and name.lower() not in keywords()
    return name if plain else quote_identifier(name)


@cache
def keywords() -> frozenset[str]:
    """Words that DuckDB takes for something else than a column's name."""
    with duckdb.connect() as connection:
        query = "FROM duckdb_keywords() WHERE keyword_category IN ('reserved', 'type_function')"
        return frozenset(word for (word, _) in connection.execute(query).fetchall())
