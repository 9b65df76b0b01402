"""Raw Parquet files as DuckDB reads them."""

from __future__ import annotations

import glob

import duckdb
import pyarrow.parquet as pq

from mtl_pipeline.errors import UserError
from mtl_pipeline.warehouse.reading.dialect import refuse_unusable_names
from mtl_pipeline.warehouse.reading.raw import RawFile
from mtl_pipeline.warehouse.templates import quote_identifier, quote_literal


def create_parquet_view(connection: duckdb.DuckDBPyConnection, table: str, files: list[RawFile]) -> list[str]:
    """Create the temporary view raw_<table>, text trimmed and NULL where blank as in CSV, and return its columns.

    Raises UserError where the files cannot be read, or not together.
    """
    first = parquet_columns(connection, files[0])
    for file in files[1:]:
        if differing := sorted(set(first.items()) ^ set(parquet_columns(connection, file).items())):
            raise UserError(
                f"{file.path} has other columns than {files[0].name} "
                f"(differing: {', '.join(' '.join(column) for column in differing)})"
            )
    prefix = len(files[0].path) - len(files[0].name)
    listed = ", ".join(quote_literal(plain_path(file)) for file in files)
    columns = ", ".join(
        f"nullif(trim({name}), '') AS {name}" if first[column] == "VARCHAR" else name
        for column, name in zip(first, map(quote_identifier, first), strict=True)
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW raw_{table} AS SELECT {columns}, "
        f"filename[{prefix + 1}:] AS source_file, file_row_number + 1 AS source_line "
        f"FROM read_parquet([{listed}], filename = true, file_row_number = true)"
    )
    return list(first)


def parquet_columns(connection: duckdb.DuckDBPyConnection, file: RawFile) -> dict[str, str]:
    """SQL type by name."""
    try:
        rows = connection.execute(f"DESCRIBE FROM read_parquet({quote_literal(plain_path(file))})").fetchall()
    except duckdb.Error as error:
        raise UserError(f"{file.path} cannot be read as Parquet: {error}") from error
    types = {row[0]: row[1] for row in rows}
    refuse_unusable_names(file, list(types) if file.is_remote else pq.read_schema(file.path).names)
    return types


def plain_path(file: RawFile) -> str:
    """The path as DuckDB needs it, which takes paths for patterns: brackets and stars in a local name are literal."""
    return file.path if file.is_remote else glob.escape(file.path)
