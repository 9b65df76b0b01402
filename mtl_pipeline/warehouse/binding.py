"""What columns a pipeline's SQL delivers, without reading a row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import jinja2

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.connection import confine, create_macros, query_types
from mtl_pipeline.warehouse.reading.dialect import PROVENANCE_COLUMNS, read_dialect
from mtl_pipeline.warehouse.reading.raw import find_raw_files, is_remote
from mtl_pipeline.warehouse.templates import quote_identifier, render_sql


@contextmanager
def open_binder() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in memory that reaches no file."""
    with duckdb.connect() as connection:
        confine(connection)
        yield connection


def read_pipeline_sql(connection: duckdb.DuckDBPyConnection, path: Path) -> str:
    """The text of a sql/<pipeline>/<table>.sql, rendered and parsed but not run.

    Raises UserError with file and line where it is missing, not a valid template, or not exactly one SELECT.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: it must turn raw_{path.stem} into the table {path.stem}")
    try:
        text = render_sql(path)
        statements = connection.extract_statements(text)
    except (jinja2.TemplateError, ArithmeticError, TypeError) as error:
        line = f":{error.lineno}" if isinstance(error, jinja2.TemplateSyntaxError) else ""
        raise UserError(f"{path}{line}: not a valid template: {error}") from error
    except duckdb.ParserException as error:
        match = re.search(r"LINE (\d+):", str(error))
        raise UserError(f"{path}{f':{match[1]}' if match else ''}: not valid SQL: {error}") from error
    if [statement.type for statement in statements] == [duckdb.StatementType.SELECT]:
        return without_semicolon(text)
    raise UserError(f"{path}:{unwanted_statement(text, statements)}. Leave one SELECT; nothing was run")


def without_semicolon(text: str) -> str:
    """The SELECT as it can stand in brackets. Comments may follow the semicolon."""
    data = text.encode()
    end = len(data)
    for start, kind in reversed(duckdb.tokenize(text)):
        if data[start : start + 1] == b";":
            end = start
        elif kind != duckdb.token_type.comment:
            break
    return data[:end].decode()


def unwanted_statement(text: str, statements: list[duckdb.Statement]) -> str:
    """The line and the kind of the first statement that should not be there."""
    if not statements:
        return "1: there is no statement"
    others = [statement for statement in statements if statement.type != duckdb.StatementType.SELECT]
    first = (others or statements[1:])[0]
    line = text[: text.find(first.query)].count("\n") + 1
    return f"{line}: unexpected {first.type.name} statement"


def delivered_columns(
    connection: duckdb.DuckDBPyConnection, paths: PipelinePaths, spec: PipelineSpec, table: str
) -> dict[str, str] | None:
    """SQL type by name of the columns that sql/<pipeline>/<table>.sql makes of the raw file's header.

    `connection` comes from open_binder. None where the columns cannot be told: the SQL or the raw file is missing, the
    file is broken, or its header lacks a column that the SQL reads. Then a run reports it, and one night's broken file
    stops nothing else. Raises UserError where the SQL is not valid or reads other files, whatever the file holds.
    """
    path = paths.sql / f"{table}.sql"
    if not path.is_file():
        return None
    create_macros(connection)
    query = read_pipeline_sql(connection, path)
    header = raw_columns(paths, spec, table)
    create_empty_table(connection, f"raw_{table}", [*(header or ["no_file_yet"]), *PROVENANCE_COLUMNS])
    try:
        delivered = query_types(connection, query)
    except duckdb.PermissionException as error:
        raise reaches_elsewhere(path, error) from error
    except duckdb.Error:
        return None
    return delivered if header else None


def reaches_elsewhere(path: Path, error: duckdb.PermissionException) -> UserError:
    return UserError(
        f"{path}: a pipeline's SQL may read raw_{path.stem} and the tables of the warehouse, no other file: {error}"
    )


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
