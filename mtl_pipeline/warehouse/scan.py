"""From raw files to records with their file and line, and from there to what the pipeline's SQL makes of them.

DuckDB reads CSV on all cores but tells no line numbers. They follow from the order of the records:
where the pipeline's SQL only computes columns, order and number of its rows are those of the file, so
it runs while the file is read. Any other SQL (joins, windows, filters) runs over a copy of the records.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.warehouse.connection import fetch_one, load_httpfs
from mtl_pipeline.warehouse.contents import read_contents
from mtl_pipeline.warehouse.dialect import Dialect
from mtl_pipeline.warehouse.lines import LineLayout, find_runs, read_layout
from mtl_pipeline.warehouse.raw import RawFile
from mtl_pipeline.warehouse.sql import quote_identifier, quote_identifiers, quote_literal, render_sql

PROVENANCE_COLUMNS = ("source_file", "source_line")
BLOCK_RECORDS = 256
ROW_BY_ROW_OPERATORS = {"PROJECTION", "READ_CSV"}
"""Operators of a query plan that keep number and order of the rows."""
LINE_IS_NOT_KNOWN = "the line of a record is not known while it is read"
CONTENT_TYPE = pa.schema([("file", pa.string()), ("line", pa.int64()), ("content", pa.string())])


@dataclass
class Scan:
    """The raw files of one table as they are being read."""

    table: str
    files: list[RawFile]
    columns: list[str]
    dialect: Dialect | None
    """None: the files are Parquet."""
    layouts: dict[str, LineLayout] = field(default_factory=dict)
    """By name of the file; of local CSV files only."""
    rows_read: int = 0
    """Records below the headers, readable or not."""


def open_scan(
    connection: duckdb.DuckDBPyConnection,
    paths: PipelinePaths,
    table: str,
    files: list[RawFile],
    dialect: Dialect | None,
) -> Scan:
    """Create the temporary view raw_<table>, good for planning queries; nothing is read yet.

    Raises UserError when a file cannot be opened or has a reserved column.
    """
    if files[0].is_remote:
        load_httpfs(connection, files[0].path)
    if dialect is None:
        create_parquet_view(connection, paths, table, files)
    else:
        create_csv_view(connection, paths, files, dialect)
        connection.execute(
            f"CREATE OR REPLACE TEMP VIEW raw_{table} AS SELECT * REPLACE (0::BIGINT AS source_line) "
            "FROM csv_records"
        )
    return Scan(table, files, dialect.columns if dialect else view_columns(connection, table), dialect)


def create_csv_view(
    connection: duckdb.DuckDBPyConnection, paths: PipelinePaths, files: list[RawFile], dialect: Dialect
) -> None:
    if reserved := set(PROVENANCE_COLUMNS) & set(dialect.columns):
        raise UserError(
            f"{files[0].path}: rename the column {', '.join(sorted(reserved))}: the name is reserved"
        )
    connection.execute(
        render_sql(
            paths.common_sql / "scan.sql",
            paths=[file.path for file in files],
            names=[file.name for file in files],
            prefix_characters=len(files[0].path) - len(files[0].name),
            columns=dialect.columns,
            delimiter=dialect.delimiter,
            quote=dialect.quote,
            encoding=dialect.encoding,
            has_header=dialect.has_header,
            padded=dialect.padded,
            line_is_not_known=LINE_IS_NOT_KNOWN,
        )
    )


def create_parquet_view(
    connection: duckdb.DuckDBPyConnection, paths: PipelinePaths, table: str, files: list[RawFile]
) -> None:
    first = parquet_columns(connection, files[0])
    if reserved := set(PROVENANCE_COLUMNS) & set(first):
        raise UserError(
            f"{files[0].path}: rename the column {', '.join(sorted(reserved))}: the name is reserved"
        )
    for file in files[1:]:
        if differing := sorted(set(first.items()) ^ set(parquet_columns(connection, file).items())):
            raise UserError(
                f"{file.path} has other columns than {files[0].name} "
                f"(differing: {', '.join(' '.join(column) for column in differing)})"
            )
    prefix = len(files[0].path) - len(files[0].name)
    listed = ", ".join(quote_literal(file.path) for file in files)
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW raw_{table} AS SELECT {quote_identifiers(first)}, "
        f"filename[{prefix + 1}:] AS source_file, file_row_number + 1 AS source_line "
        f"FROM read_parquet([{listed}], filename = true, file_row_number = true)"
    )


def parquet_columns(connection: duckdb.DuckDBPyConnection, file: RawFile) -> dict[str, str]:
    try:
        rows = connection.execute(f"DESCRIBE FROM read_parquet({quote_literal(file.path)})").fetchall()
    except duckdb.Error as error:
        raise UserError(f"{file.path} cannot be read as Parquet: {error}") from error
    return {row[0]: row[1] for row in rows}


def view_columns(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    rows = connection.execute(f"DESCRIBE raw_{table}").fetchall()
    return [row[0] for row in rows if row[0] not in PROVENANCE_COLUMNS]


def run_pipeline_sql(
    connection: duckdb.DuckDBPyConnection, paths: PipelinePaths, scan: Scan, query: str
) -> None:
    """Read the files and run the query over raw_<table>, into `cleaned`.

    Creates the temporary table `typed` with the rows of the query; the temporary view `cleaned`, which
    adds exact source_file and source_line, and `_record`, the rowid in `typed`; and `unreadable`, the
    records that are not valid CSV: file, line, column, reason, content.
    """
    if scan.dialect is None:
        create_typed(connection, query)
        (scan.rows_read,) = fetch_one(connection, f"SELECT count(*) FROM raw_{scan.table}")
        register_unreadable(connection, [])
        return
    connection.execute(f"CREATE OR REPLACE TEMP VIEW raw_{scan.table} AS FROM csv_records")
    found_later = "source_line" if len(scan.files) > 1 else "source_file, source_line"
    if not scan.files[0].is_remote and read_row_by_row(
        connection, scan, f"SELECT * EXCLUDE ({found_later}) FROM ({query}\n)"
    ):
        number_lines(connection, paths, scan, records="typed", view="cleaned")
    else:
        read_csv(connection, scan, "raw_records", f"SELECT * EXCLUDE ({found_later}) FROM csv_records")
        number_lines(connection, paths, scan, records="raw_records", view="numbered_records")
        connection.execute(
            f"CREATE OR REPLACE TEMP VIEW raw_{scan.table} AS "
            "SELECT * EXCLUDE (_record) FROM numbered_records"
        )
        create_typed(connection, query)


def read_row_by_row(connection: duckdb.DuckDBPyConnection, scan: Scan, query: str) -> bool:
    """Run the query into `typed` if it makes one row of each record, in order, and computes with no line.

    In place of the line is an error(), which is raised where the query needs to know it.
    """
    try:
        plan = connection.execute(f"EXPLAIN (FORMAT json) {query}").fetchall()
        if not set(plan_operators(json.loads(plan[0][1]))) <= ROW_BY_ROW_OPERATORS:
            return False
        read_csv(connection, scan, "typed", query)
    except duckdb.InvalidInputException as error:
        if LINE_IS_NOT_KNOWN in str(error):
            return False
        raise
    return True


def create_typed(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    connection.execute(f"CREATE OR REPLACE TEMP TABLE typed AS {query}")
    connection.execute(
        "CREATE OR REPLACE TEMP VIEW cleaned AS SELECT typed.rowid AS _record, typed.* FROM typed"
    )


def plan_operators(nodes: list[dict]) -> Iterator[str]:
    for node in nodes:
        yield node["name"].strip()
        yield from plan_operators(node["children"])


def read_csv(connection: duckdb.DuckDBPyConnection, scan: Scan, target: str, query: str) -> None:
    try:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {target} AS {query}")
    except duckdb.InvalidInputException as error:
        if "invalid state" not in str(error):
            raise
        raise UserError(
            f"{', '.join(file.name for file in scan.files[:3])}: some lines end with a carriage return and "
            "a line feed, others with a line feed only; give all the same line end (dos2unix does)"
        ) from error


def number_lines(
    connection: duckdb.DuckDBPyConnection, paths: PipelinePaths, scan: Scan, *, records: str, view: str
) -> None:
    """Create the view with the rows of the temporary table `records`, their files and lines.

    Fills in what the scan knows of its files, and registers `unreadable`.
    """
    assert scan.dialect is not None
    rejects = connection.sql(render_sql(paths.common_sql / "rejects.sql")).to_arrow_table()
    readable = readable_by_file(connection, scan, records)
    runs = []
    unreadable = []
    start = 0
    for file in scan.files:
        of_file = rejects.filter(pc.equal(rejects["path"], file.path))
        count = readable[file.name]
        layout = read_layout(file, scan.dialect, count + len(of_file))
        record_numbers = layout.record_of_place(of_file["place"].to_numpy())
        firsts, offsets = find_runs(layout, record_numbers, count)
        runs.append((file.name, firsts + start, offsets - start))
        unreadable.append(unreadable_records(file, layout.line_of(record_numbers), of_file))
        scan.layouts[file.name] = layout
        scan.rows_read += layout.records
        start += count
    register_unreadable(connection, unreadable)
    single = len(runs) == 1 and len(runs[0][1]) <= 1
    if not single:
        connection.register("line_runs", cut_into_blocks(runs, start))
    connection.execute(
        render_sql(
            paths.common_sql / "number_lines.sql",
            view=view,
            records=records,
            has_file=len(scan.files) > 1,
            file=scan.files[0].name if len(scan.files) == 1 else None,
            single_run=single,
            line_offset=int(runs[0][2][0]) if single and len(runs[0][2]) else 0,
            block_records=BLOCK_RECORDS,
        )
    )


def readable_by_file(connection: duckdb.DuckDBPyConnection, scan: Scan, records: str) -> dict[str, int]:
    """Records of each file in a table of records in file order."""
    if len(scan.files) == 1:
        (count,) = fetch_one(connection, f"SELECT count(*) FROM {records}")
        return {scan.files[0].name: count}
    counts = dict(
        connection.execute(f"SELECT source_file, count(*) FROM {records} GROUP BY source_file").fetchall()
    )
    if unknown := set(counts) - {file.name for file in scan.files}:
        raise UserError(f"the SQL of {scan.table} must hand source_file through; it delivers {unknown.pop()}")
    return {file.name: counts.get(file.name, 0) for file in scan.files}


def cut_into_blocks(runs: list[tuple[str, np.ndarray, np.ndarray]], records: int) -> pa.Table:
    """The runs of all files, cut where a block of BLOCK_RECORDS records begins."""
    firsts = np.concatenate([first for _, first, _ in runs])
    offsets = np.concatenate([offset for _, _, offset in runs])
    names = np.repeat(np.arange(len(runs)), [len(first) for _, first, _ in runs])
    cuts = np.unique(np.concatenate([firsts, np.arange(0, records, BLOCK_RECORDS)]))
    run = np.searchsorted(firsts, cuts, side="right") - 1
    files = pa.array([name for name, _, _ in runs], pa.string())
    return pa.table(
        {
            "block": cuts // BLOCK_RECORDS,
            "first_record": cuts,
            "last_record": np.append(cuts[1:], records) - 1,
            "line_offset": offsets[run],
            "source_file": files.take(pa.array(names[run])),
        }
    )


def unreadable_records(file: RawFile, lines: np.ndarray, rejects: pa.Table) -> pa.Table:
    return pa.table(
        {
            "file": pa.array([file.name] * len(lines), pa.string()),
            "line": pa.array(lines, pa.int64()),
            "column": rejects["column"],
            "reason": rejects["reason"],
            "content": rejects["content"],
        }
    )


def register_unreadable(connection: duckdb.DuckDBPyConnection, parts: list[pa.Table]) -> None:
    schema = pa.schema([*CONTENT_TYPE, ("column", pa.string()), ("reason", pa.string())])
    connection.register("unreadable", pa.concat_tables(parts) if parts else schema.empty_table())


def register_contents(connection: duckdb.DuckDBPyConnection, scan: Scan) -> None:
    """Create `contents` (file, line, content) for the rows of `refused_rows` (file, line).

    Of local CSV files, the content is the record as it stands in the file; else its values as JSON.
    """
    if scan.dialect is None or scan.files[0].is_remote:
        values = ", ".join(f"{quote_identifier(name)} := {quote_identifier(name)}" for name in scan.columns)
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE contents AS SELECT source_file AS file, source_line AS line, "
            f"to_json(struct_pack({values}))::VARCHAR AS content FROM raw_{scan.table} "
            "SEMI JOIN refused_rows ON source_file = file AND source_line = line "
            "UNION ALL SELECT file, line, content FROM unreadable"
        )
        return
    parts = []
    for file in scan.files:
        lines = connection.execute(
            "SELECT DISTINCT line FROM refused_rows WHERE file = ? ORDER BY line", [file.name]
        ).fetchnumpy()["line"]
        if len(lines):
            contents = read_contents(file, scan.layouts[file.name], lines, scan.dialect.encoding)
            parts.append(
                pa.table([pa.array([file.name] * len(lines)), lines, pa.array(contents)], schema=CONTENT_TYPE)
            )
    connection.register("contents", pa.concat_tables(parts) if parts else CONTENT_TYPE.empty_table())
