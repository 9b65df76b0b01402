"""Short connections to a pipeline's DuckDB file, and to an in-memory DuckDB for Parquet."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import COMMON_SQL
from mtl_pipeline.spec import Warehouse
from mtl_pipeline.warehouse.templates import quote_identifier, quote_literals, render_sql

LOCK_PATIENCE_SECONDS = 60
DAMAGED = re.compile(
    "Corrupt database file|not a valid DuckDB database file|Failure while replaying WAL|has been invalidated"
    r"|Could not read enough bytes from file \".*\.duckdb\""
)
"""What DuckDB says of a file in which a bit has flipped, or that was cut short."""
UNCOUNTED_BYTES = 128 * 1024**2
"""What DuckDB's limit does not cover: its allocator, the stacks and buffers of its threads, the results. Cleaning five
million rows and building their examples took 61 to 94 MiB above the limit, both at 400 MB and at 1 GB."""


@contextmanager
def open_warehouse(
    path: Path, *, read_only: bool = False, settings: Warehouse | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Connect to the warehouse file for as long as the `with` block lasts.

    What does not fit in `settings.memory_limit` spills to `<path>.tmp`. A writer excludes every other process, so a
    locked file is tried again for a minute.
    Raises UserError when it stays locked, when it is damaged (each block has a checksum, which DuckDB compares as it
    reads), or when a reader comes before the first writer.
    """
    if read_only and not path.exists():
        raise UserError(f"{path} does not exist yet: materialize users, items and interactions first")
    path.parent.mkdir(parents=True, exist_ok=True)
    with damage_named(path), closing(connect_patiently(path, read_only)) as connection:
        connection.execute("SET enable_progress_bar = false")
        apply_settings(connection, settings or Warehouse())
        yield connection


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Explain that the file is damaged, also where DuckDB's words have already been reported as a fault of a query."""
    try:
        yield
    except (duckdb.Error, UserError) as error:
        if not DAMAGED.search(str(error)):
            raise
        raise UserError(
            f"{path} is damaged: remove it, and {path.name}.wal where there is one, then materialize users, items, "
            f"interactions and rejected_rows again ({error})"
        ) from error


def apply_settings(connection: duckdb.DuckDBPyConnection, settings: Warehouse) -> None:
    """DuckDB is given the memory limit minus what it does not count, see `UNCOUNTED_BYTES`.

    Times without an offset are UTC, also when compared with times that have one.
    """
    connection.execute("SET TimeZone = 'UTC'")
    limit = bytes_of(settings.memory_limit)
    connection.execute(f"SET memory_limit = '{limit - min(UNCOUNTED_BYTES, limit // 2)}B'")
    if settings.threads:
        connection.execute(f"SET threads = {settings.threads}")


def run_sql(connection: duckdb.DuckDBPyConnection, name: str, /, **values: object) -> None:
    """Run a file of warehouse/sql, rendered with these values."""
    connection.execute(render_sql(COMMON_SQL / name, **values))


def create_macros(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the macros with which sql/<pipeline>/*.sql reads values and refuses rows: see warehouse/sql/macros.sql."""
    connection.execute((COMMON_SQL / "macros.sql").read_text())


def confine(connection: duckdb.DuckDBPyConnection, readable: Iterable[str] = ()) -> None:
    """Restrict the connection, for good, to these files, its own database and its temporary files.

    Whatever SQL it runs, it can read no other file, write none, and attach or install nothing.
    """
    connection.execute(f"SET allowed_paths = [{quote_literals(readable)}]")
    connection.execute("SET python_enable_replacements = false; SET enable_external_access = false")


def bytes_of(size: str) -> int:
    """Bytes in '1.5GB' or '400MiB'."""
    number, prefix, binary = re.fullmatch(r"([\d.]+)\s?([KMGT])(i?)B", size).groups()  # type: ignore[union-attr]
    return int(float(number) * (1024 if binary else 1000) ** (1 + "KMGT".index(prefix)))


def load_httpfs(connection: duckdb.DuckDBPyConnection, path: str) -> None:
    """Let the connection read s3://, gs:// and https:// paths, with the secrets that DuckDB has stored.

    Raises UserError where DuckDB's extension for them is not installed.
    """
    try:
        connection.execute("LOAD httpfs")
        # Otherwise they would be read with the first file, when `confine` may have closed their folder.
        connection.execute("SELECT name FROM duckdb_secrets()").fetchall()
    except duckdb.Error as error:
        raise UserError(
            f"{path}: reading it needs DuckDB's httpfs extension; install it once with "
            "python -c \"import duckdb; duckdb.sql('INSTALL httpfs')\""
        ) from error


def connect_patiently(path: Path, read_only: bool) -> duckdb.DuckDBPyConnection:
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        try:
            return duckdb.connect(str(path), read_only=read_only)
        except duckdb.IOException as error:
            if DAMAGED.search(str(error)):
                raise
            if "lock" not in str(error).lower():
                raise UserError(f"{path} cannot be opened: {error}") from error
            if time.monotonic() > deadline:
                raise UserError(
                    f"{path} is in use by another process; close it and try again ({error})"
                ) from error
            time.sleep(0.2)


def fetch_one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple:
    """The single row that `query` yields."""
    (row,) = connection.execute(query).fetchall()
    return row


def query_types(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, str]:
    """SQL type by name of the columns of a query, which is not run. A view would lose an alias that differs from its
    column by case only."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE delivered AS FROM ({query}\n) WITH NO DATA")
    return column_types(connection, "delivered")


def column_types(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """SQL type by column name."""
    rows = connection.execute(f"DESCRIBE {quote_identifier(table)}").fetchall()
    return {row[0]: row[1] for row in rows}
