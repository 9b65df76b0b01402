"""Short connections to a pipeline's DuckDB file, and to an in-memory DuckDB for Parquet."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from mtl_pipeline.errors import UserError
from mtl_pipeline.spec import Warehouse
from mtl_pipeline.warehouse.sql import quote_identifier

LOCK_PATIENCE_SECONDS = 60
UNCOUNTED_BYTES = 128 * 1024**2
"""What DuckDB's limit does not cover: its allocator, the stacks and buffers of its threads, the results. Cleaning five
million rows and building their examples took 61 to 94 MiB above the limit, at 400 MB as at 1 GB."""


@contextmanager
def open_warehouse(
    path: Path, *, read_only: bool = False, settings: Warehouse | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Connect to the warehouse file for as long as the `with` block lasts.

    What does not fit in `settings.memory_limit` goes to `<path>.tmp` for the time being. A writer
    excludes every other process, so a locked file is tried again for a minute.
    Raises UserError when it stays locked, or when a reader comes before the first writer.
    """
    if read_only and not path.exists():
        raise UserError(f"{path} does not exist yet: materialize users, items and interactions first")
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = connect_patiently(path, read_only)
    try:
        connection.execute("SET enable_progress_bar = false")
        apply_settings(connection, settings or Warehouse())
        yield connection
    finally:
        connection.close()


def apply_settings(connection: duckdb.DuckDBPyConnection, settings: Warehouse) -> None:
    """Of the memory limit DuckDB is given what remains for what it counts, see `UNCOUNTED_BYTES`."""
    limit = bytes_of(settings.memory_limit)
    connection.execute(f"SET memory_limit = '{limit - min(UNCOUNTED_BYTES, limit // 2)}B'")
    if settings.threads:
        connection.execute(f"SET threads = {settings.threads}")


def bytes_of(size: str) -> int:
    """Of '1.5GB' or '400MiB'."""
    number, prefix, binary = re.fullmatch(r"([\d.]+)\s?([KMGT])(i?)B", size).groups()  # type: ignore[union-attr]
    return int(float(number) * (1024 if binary else 1000) ** (1 + "KMGT".index(prefix)))


def load_httpfs(connection: duckdb.DuckDBPyConnection, path: str) -> None:
    """Let the connection read s3://, gs:// and https:// paths, with the secrets that DuckDB has stored.

    Raises UserError where DuckDB's extension for them is not installed.
    """
    try:
        connection.execute("LOAD httpfs")
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


def column_types(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """SQL type by column name."""
    rows = connection.execute(f"DESCRIBE {quote_identifier(table)}").fetchall()
    return {row[0]: row[1] for row in rows}
