"""Read raw CSV files into DuckDB as strings, with the file and line of every record."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.warehouse.connection import fetch_one
from mtl_pipeline.warehouse.raw import (
    Dialect,
    LineLayout,
    describe_file,
    read_dialect,
    regular_layout,
    scan_line_layout,
)
from mtl_pipeline.warehouse.sql import render_sql

logger = logging.getLogger(__name__)

PROVENANCE_COLUMNS = ("source_file", "source_line")


@dataclass(frozen=True)
class Scan:
    """What the raw file of one table held."""

    columns: list[str]
    rows_read: int
    """Records below the header, readable or not."""


def scan_raw_file(
    connection: duckdb.DuckDBPyConnection, paths: PipelinePaths, table: str, path: Path
) -> Scan:
    """Create the temporary tables raw_<table> and unreadable_records from a CSV file.

    Raises UserError when the file is missing, empty, or has no usable header.
    """
    raw_file = describe_file(path)
    dialect = read_dialect(path)
    if reserved := set(PROVENANCE_COLUMNS) & set(dialect.columns):
        raise UserError(f"{path}: rename the column {', '.join(sorted(reserved))}: the name is reserved")
    connection.execute(
        render_sql(
            paths.common_sql / "scan.sql",
            path=path,
            columns=dialect.columns,
            delimiter=dialect.delimiter,
            new_line=dialect.new_line,
        )
    )
    readable, rejected = fetch_one(
        connection,
        "SELECT (SELECT count(*) FROM scanned_records), (SELECT count(*) FROM scanned_rejects)",
    )
    layout = line_layout(path, raw_file.lines, readable + rejected, dialect)
    register_rejects(connection, path.name, layout)
    connection.register("line_shifts", shift_table(layout))
    connection.execute(
        render_sql(
            paths.common_sql / "number_lines.sql",
            table=table,
            file=path.name,
            any_rejects=rejected > 0,
            any_shifts=len(layout.shift_positions) > 0,
        )
    )
    return Scan(dialect.columns, layout.records)


def line_layout(path: Path, lines: int, records: int, dialect: Dialect) -> LineLayout:
    """The layout of a file in which the CSV reader found so many records below the header."""
    if lines == records + 1:
        return regular_layout(records)
    layout = scan_line_layout(path, new_line_bytes=2 if dialect.new_line == "\\r\\n" else 1)
    if layout.records == records:
        return layout
    logger.warning(
        "%s: stray quotes hide where records end; the line numbers of its rejected rows may be too low",
        path,
    )
    return regular_layout(records)


def register_rejects(connection: duckdb.DuckDBPyConnection, file: str, layout: LineLayout) -> None:
    """Replace the record numbers of scanned_rejects by lines, as unreadable_records and reject_positions."""
    rejects = connection.sql("SELECT * FROM scanned_rejects ORDER BY record").to_arrow_table()
    position = layout.position_of(rejects["record"].to_numpy())
    so_far = np.arange(1, len(position) + 1)
    connection.register(
        "reject_positions",
        pa.table({"rejects_so_far": so_far, "good_records_before": position - so_far}),
    )
    connection.register(
        "unreadable_records",
        pa.table(
            {
                "file": pa.array([file] * len(position), pa.string()),
                "line": layout.line_of(position),
                "column": rejects["column"],
                "reason": rejects["reason"],
                "content": rejects["content"],
            }
        ),
    )


def shift_table(layout: LineLayout) -> pa.Table:
    return pa.table({"position": layout.shift_positions, "extra_lines": layout.extra_lines})
