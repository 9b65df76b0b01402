"""What the columns of a raw CSV file hold: counted in DuckDB, over all rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import RawFiles
from mtl_pipeline.warehouse.connection import fetch_one
from mtl_pipeline.warehouse.reading.dialect import read_dialect
from mtl_pipeline.warehouse.reading.raw import find_raw_files
from mtl_pipeline.warehouse.reading.scan import open_scan
from mtl_pipeline.warehouse.templates import quote_identifier, quote_identifiers, quote_literal

MOST = 0.95
"""A column is of a type when at least this share of its values is: the rest are dirty."""
MOST_VALUES = 20
"""Distinct values up to which they are listed."""
SAMPLE_ROWS = 10_000
"""Values in which formats of times and separators of lists are looked for, which is slow."""
LONGEST_CATEGORY = 60
"""Mean number of characters."""
LONGEST_PART = 40
"""Characters of a value in a list."""
SEPARATORS = ("|", ";", ",")

TIME_FORMATS = (
    "seconds", "milliseconds", "microseconds", "ISO", "day/month/year", "month/day/year", "day.month.year"
)  # fmt: skip
"""Units of the macro moment() in warehouse/sql/macros.sql; the first that fits is taken."""
PLAUSIBLE_YEARS = "1990, 2100"


@dataclass(frozen=True)
class Column:
    """One column of a raw file. Counts are of rows; blank fields are not present."""

    name: str
    rows: int
    present: int
    distinct: int
    whole: bool
    """Whether most are whole numbers as the macro whole_number() takes them: without leading zeros, for one."""
    numeric: bool
    boolean: bool
    links: bool
    minimum: float
    maximum: float
    """Of the numbers; NaN where there are none."""
    length: float
    """Mean number of characters."""
    values: list[str]
    """The distinct values, most frequent first, where there are at most MOST_VALUES."""
    time_format: str | None
    """One of TIME_FORMATS."""
    separator: str | None
    """Between the values of a field that lists several."""

    @property
    def words(self) -> list[str]:
        return snake_case(self.name).split("_")

    @property
    def unique(self) -> bool:
        """Whether it may be the key of its table; a few repeated or missing ones are dirt."""
        return self.rows > 0 and self.distinct >= 0.9 * self.rows

    @property
    def category(self) -> bool:
        return self.distinct <= self.present / 2 and self.length <= LONGEST_CATEGORY

    @property
    def constant(self) -> str | None:
        """Why the column tells no rows apart, if it does not."""
        return "empty" if self.present == 0 else "always the same" if self.distinct == 1 else None


@dataclass(frozen=True)
class Profile:
    """One raw file, which lies in the connection as raw_<table>."""

    table: str
    path: Path
    rows: int
    columns: dict[str, Column]


def profile_file(
    connection: duckdb.DuckDBPyConnection, paths: PipelinePaths, table: str, path: Path
) -> Profile:
    """Read a CSV file as a run would, and count what its columns hold.

    Raises UserError where the file is missing, empty or without a usable header.
    """
    raw = RawFiles(interactions=str(path))
    files = find_raw_files(paths, raw, "interactions")
    dialect = read_dialect(files, raw, "interactions")
    scan = open_scan(connection, table, files, dialect)
    connection.execute(f"DROP VIEW raw_{table}")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE raw_{table} AS SELECT {quote_identifiers(scan.columns)} FROM csv_records"
    )
    (rows,) = fetch_one(connection, f"SELECT count(*) FROM raw_{table}")
    draw_samples(connection, f"raw_{table}", scan.columns)
    times, separators = find_time_formats(connection), find_separators(connection)
    columns = {
        name: profile_column(connection, f"raw_{table}", name, times.get(name), separators.get(name))
        for name in scan.columns
    }
    return Profile(table, path, rows, columns)


def draw_samples(connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str]) -> None:
    """The table `samples`: up to SAMPLE_ROWS values of each column, with its name."""
    drawn = " UNION ALL ".join(
        f"SELECT {quote_literal(name)} AS name, value "
        f"FROM (SELECT {value} AS value FROM {table} WHERE {value} IS NOT NULL) "
        f"USING SAMPLE reservoir({SAMPLE_ROWS} ROWS) REPEATABLE (0)"
        for name, value in zip(columns, map(quote_identifier, columns), strict=True)
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE samples AS {drawn}")


def profile_column(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    name: str,
    time_format: str | None,
    separator: str | None,
) -> Column:
    value = quote_identifier(name)

    def mostly(read: str) -> str:
        return f"count({value}) > 0 AND count({read}) >= {MOST} * count({value})"

    counts = connection.sql(
        f"""
        SELECT
            count(*) AS rows,
            count({value}) AS present,
            count(DISTINCT {value}) AS "distinct",
            {mostly(f"whole_number({value})")} AS whole,
            {mostly(f"decimal_number({value})")} AS numeric,
            {mostly(f"flag({value})")} AS boolean,
            {mostly(f"nullif(regexp_matches({value}, '^https?://'), false)")} AS links,
            coalesce(min(decimal_number({value})), 'nan') AS minimum,
            coalesce(max(decimal_number({value})), 'nan') AS maximum,
            coalesce(avg(length({value})), 0) AS length
        FROM {table}
        """
    ).pl()
    return Column(
        name=name,
        **counts.row(0, named=True),
        values=frequent_values(connection, table, value) if counts["distinct"][0] <= MOST_VALUES else [],
        time_format=time_format,
        separator=separator,
    )


def frequent_values(connection: duckdb.DuckDBPyConnection, table: str, value: str) -> list[str]:
    rows = connection.execute(
        f"SELECT {value} FROM {table} WHERE {value} IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1"
    ).fetchall()
    return [row[0] for row in rows]


def find_time_formats(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """By column of `samples` the first format that most values have. They must be plausible times."""
    counted = ", ".join(f"count(moment(value, '{unit}', {PLAUSIBLE_YEARS}))" for unit in TIME_FORMATS)
    rows = connection.execute(f"SELECT name, count(*), {counted} FROM samples GROUP BY name").fetchall()
    fitting = {
        name: [unit for unit, count in zip(TIME_FORMATS, counts, strict=True) if count >= MOST * present]
        for name, present, *counts in rows
    }
    return {name: units[0] for name, units in fitting.items() if units}


def find_separators(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """By column of `samples` the first separator of lists: in a fifth of the fields, with short parts that come
    again."""
    found: dict[str, str] = {}
    for separator in SEPARATORS:
        rows = connection.execute(
            f"""
            WITH lists AS (
                SELECT name, string_split(value, {quote_literal(separator)}) AS parts,
                    avg((len(parts) > 1)::INTEGER) OVER (PARTITION BY name) AS listed
                FROM samples
            )
            SELECT name
            FROM (SELECT name, listed, unnest(parts) AS part FROM lists)
            GROUP BY name, listed
            HAVING listed >= 0.2 AND count(DISTINCT trim(part)) <= count(*) / 2 AND max(length(part)) <= {LONGEST_PART}
            """
        ).fetchall()
        found = {name: separator for (name,) in rows} | found
    return found


def words(text: str) -> list[str]:
    return text.split()


def snake_case(name: str) -> str:
    """A lower-case SQL identifier: personId -> person_id, "Sign-up date" -> sign_up_date."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.strip())
    plain = re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")
    return plain if plain[:1].isalpha() else f"column_{plain}".rstrip("_")
