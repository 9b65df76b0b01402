"""What a pipeline's SQL delivers, found out without reading a row."""

from __future__ import annotations

import re

import duckdb
import jinja2

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.connection import column_types
from mtl_pipeline.warehouse.dialect import read_dialect
from mtl_pipeline.warehouse.raw import find_raw_files, is_remote
from mtl_pipeline.warehouse.scan import PROVENANCE_COLUMNS
from mtl_pipeline.warehouse.sql import quote_identifier, render_sql

REJECT_MACRO = (
    "CREATE OR REPLACE TEMP MACRO reject(column_name, why) AS {'column': column_name, 'reason': why}"
)
"""What sql/<pipeline>/*.sql calls to refuse a row."""


def delivered_columns(
    connection: duckdb.DuckDBPyConnection, paths: PipelinePaths, spec: PipelineSpec, table: str
) -> dict[str, str] | None:
    """SQL type by name of the columns that sql/<pipeline>/<table>.sql makes of the raw file's header.

    None where that cannot be told: the SQL or the raw file is missing, the file is broken, or its header
    lacks a column that the SQL reads. A run says so, and a broken file of one night stops nothing else.
    Raises UserError where the SQL is not valid, whatever the file holds.
    """
    path = paths.sql / f"{table}.sql"
    if not path.is_file():
        return None
    header = raw_columns(paths, spec, table)
    create_empty_table(connection, f"raw_{table}", [*(header or ["no_file_yet"]), *PROVENANCE_COLUMNS])
    connection.execute(REJECT_MACRO)
    try:
        # A view is bound, never run.
        connection.execute(f"CREATE OR REPLACE TEMP VIEW delivered AS {render_sql(path)}")
    except jinja2.TemplateError as error:
        line = f":{error.lineno}" if isinstance(error, jinja2.TemplateSyntaxError) else ""
        raise UserError(f"{path}{line}: not a valid template: {error.message}") from error
    except duckdb.ParserException as error:
        found = re.search(r"LINE (\d+):", str(error))
        raise UserError(f"{path}{f':{found[1]}' if found else ''}: not valid SQL: {error}") from error
    except duckdb.Error:
        return None
    if header is None:
        return None
    return column_types(connection, "delivered")


def raw_columns(paths: PipelinePaths, spec: PipelineSpec, table: str) -> list[str] | None:
    """The columns of the raw files; None where there is no usable header, or finding it would take long."""
    if is_remote(getattr(spec.raw, table)):
        return None
    try:
        files = find_raw_files(paths, spec.raw, table)
        return None if files[0].is_parquet else read_dialect(files[:1], spec.raw, table).columns
    except (OSError, UserError):
        return None


def create_empty_table(connection: duckdb.DuckDBPyConnection, name: str, columns: list[str]) -> None:
    definitions = ", ".join(
        f"{quote_identifier(column)} {'BIGINT' if column == 'source_line' else 'VARCHAR'}"
        for column in dict.fromkeys(columns)
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {quote_identifier(name)} ({definitions})")
