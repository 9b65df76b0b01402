"""From raw files to records with their file and line, and from there to what the pipeline's SQL makes of them.

DuckDB reads CSV on all cores but does not report line numbers. They follow from the order of the records. Where the
pipeline's SQL only computes columns, its rows are those of the file, in the same order, so it runs while the file
is read. Any other SQL (joins, windows, filters) runs over a copy of the records.
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
from mtl_pipeline.paths import COMMON_SQL
from mtl_pipeline.warehouse.connection import fetch_one, load_httpfs, run_sql
from mtl_pipeline.warehouse.reading.contents import read_contents
from mtl_pipeline.warehouse.reading.dialect import Dialect
from mtl_pipeline.warehouse.reading.lines import FileRecords, find_runs, whole_lines
from mtl_pipeline.warehouse.reading.parquet import create_parquet_view, plain_path
from mtl_pipeline.warehouse.reading.pieces import PieceFileSystem
from mtl_pipeline.warehouse.reading.raw import RawFile, parquet_rows
from mtl_pipeline.warehouse.reading.records import find_records
from mtl_pipeline.warehouse.templates import quote_identifier, render_sql

BLOCK_RECORDS = 256
ROW_BY_ROW_OPERATORS = {"PROJECTION", "READ_CSV"}
"""Operators of a query plan that keep the number and the order of rows."""
LINE_IS_NOT_KNOWN = "the line of a record is not known while it is read"
CONTENTS_SCHEMA = pa.schema(
    [("file", pa.string()), ("line", pa.int64()), ("content", pa.string()), ("lines", pa.int64())]
)
UNREADABLE_SCHEMA = pa.schema(
    [
        (name, pa.int64() if name == "line" else pa.string())
        for name in ("file", "line", "column", "reason", "content")
    ]
)


@dataclass
class Scan:
    """The raw files of one table as they are being read."""

    table: str
    files: list[RawFile]
    columns: list[str]
    dialect: Dialect | None
    """None: the files are Parquet."""
    paths: list[str]
    """What DuckDB reads: pieces of local CSV files, else the files."""
    layouts: dict[str, FileRecords] = field(default_factory=dict)
    """By name of the file; only of CSV files, and of remote ones once they have been read."""
    rows_read: int = 0
    """Records below the headers, readable or not; where the files are local, counted without DuckDB."""
    readable: dict[str, int] = field(default_factory=dict)
    """Records that DuckDB could read, by name of the file."""


def open_scan(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    files: list[RawFile],
    dialect: Dialect | None,
) -> Scan:
    """Create the temporary view raw_<table>, good for planning queries; nothing is read yet.

    Raises UserError when a file cannot be opened.
    """
    if files[0].is_remote:
        load_httpfs(connection, files[0].path)
    if dialect is None:
        columns = create_parquet_view(connection, table, files)
        return Scan(table, files, columns, None, [plain_path(file) for file in files])
    scan = Scan(table, files, dialect.columns, dialect, [file.path for file in files])
    if not files[0].is_remote:
        scan.layouts = {file.name: find_records(file, dialect) for file in files}
        pieces = PieceFileSystem(table, [(file, scan.layouts[file.name]) for file in files], dialect.encoding)
        if pieces.protocol in connection.list_filesystems():
            connection.unregister_filesystem(pieces.protocol)
        connection.register_filesystem(pieces)
        scan.paths = pieces.paths
    # Otherwise DuckDB casts while it parses, and rejects rows whose value a TRY_CAST would have made NULL.
    connection.execute("SET disabled_optimizers = 'type_pushdown'")
    run_sql(
        connection,
        "scan.sql",
        dialect=dialect,
        paths=scan.paths,
        in_pieces=bool(scan.layouts),
        file=files[0].name if len(files) == 1 else None,
        prefix_characters=len(scan.paths[0]) - len(files[0].name),
        padded=dialect.is_json or not scan.layouts or any(layout.padded for layout in scan.layouts.values()),
        line_is_not_known=LINE_IS_NOT_KNOWN,
        structure=json.dumps(dict.fromkeys(dialect.columns, "VARCHAR")),
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW raw_{table} AS SELECT * REPLACE (0::BIGINT AS source_line) FROM csv_records"
    )
    return scan


def run_pipeline_sql(connection: duckdb.DuckDBPyConnection, scan: Scan, query: str) -> None:
    """Read the files and run the query over raw_<table>, into `cleaned`.

    Creates the temporary table `typed` with the rows of the query; the temporary view `cleaned`, which
    adds exact source_file and source_line, and `_record`, the rowid in `typed`; and `unreadable`, the
    records that are not valid CSV: file, line, column, reason, content.
    """
    if scan.dialect is None:
        create_typed(connection, query)
        scan.readable = parquet_counts(connection, scan)
        scan.rows_read = sum(scan.readable.values())
        connection.register("unreadable", UNREADABLE_SCHEMA.empty_table())
        return
    connection.execute(f"CREATE OR REPLACE TEMP VIEW raw_{scan.table} AS FROM csv_records")
    found_later = "source_line" if len(scan.files) > 1 else "source_file, source_line"
    if not scan.files[0].is_remote and read_row_by_row(
        connection, scan, f"SELECT * EXCLUDE ({found_later}) FROM ({query}\n)"
    ):
        number_lines(connection, scan, records="typed", view="cleaned")
    else:
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE raw_records AS SELECT * EXCLUDE ({found_later}) FROM csv_records"
        )
        number_lines(connection, scan, records="raw_records", view="numbered_records")
        connection.execute(
            f"CREATE OR REPLACE TEMP VIEW raw_{scan.table} AS "
            "SELECT * EXCLUDE (_record) FROM numbered_records"
        )
        create_typed(connection, query)


def read_row_by_row(connection: duckdb.DuckDBPyConnection, scan: Scan, query: str) -> bool:
    """Run the query into `typed` if it makes one row of each record, in order, and does not compute with the line.

    In place of the line stands an error(), which is raised where the query needs it.
    """
    try:
        plan = connection.execute(f"EXPLAIN (FORMAT json) {query}").fetchall()
        if not set(plan_operators(json.loads(plan[0][1]))) <= ROW_BY_ROW_OPERATORS:
            return False
        connection.execute(f"CREATE OR REPLACE TEMP TABLE typed AS {query}")
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


def number_lines(connection: duckdb.DuckDBPyConnection, scan: Scan, *, records: str, view: str) -> None:
    """Create the view with the rows of the temporary table `records`, their files and lines.

    Fills in what the scan knows of its files, and registers `unreadable`.
    """
    scan.readable = readable_by_file(connection, scan, records)
    rejects = rejects_by_file(connection, scan)
    runs = []
    unreadable = [UNREADABLE_SCHEMA.empty_table()]
    start = 0
    for file in scan.files:
        rejected_rows, pieces = rejects[file.name]
        count = scan.readable[file.name]
        layout = layout_of(scan, file, count + len(rejected_rows))
        rejected = layout.record_of_place(pieces, rejected_rows["place"].to_numpy())
        firsts, offsets = find_runs(layout, np.union1d(rejected, layout.refused), count)
        runs.append((file.name, firsts + start, offsets - start))
        said = [rejected_rows[name] for name in ("column", "reason", "content")]
        no_text = pa.nulls(len(layout.refused), pa.string())
        unreadable += [
            unreadable_records(file, layout.line_of(rejected), *said),
            unreadable_records(file, layout.line_of(layout.refused), no_text, layout.reasons, no_text),
        ]
        scan.rows_read += layout.records
        start += count
    connection.register("unreadable", pa.concat_tables(unreadable))
    single = len(runs) == 1 and len(runs[0][1]) <= 1
    if not single:
        connection.register("line_runs", cut_into_blocks(runs, start))
    run_sql(
        connection,
        "number_lines.sql",
        view=view,
        records=records,
        has_file=len(scan.files) > 1,
        file=scan.files[0].name if len(scan.files) == 1 else None,
        single_run=single,
        line_offset=int(runs[0][2][0]) if single and len(runs[0][2]) else 0,
        block_records=BLOCK_RECORDS,
    )


def unreadable_records(
    file: RawFile, lines: np.ndarray, *said: pa.Array | pa.ChunkedArray | list[str]
) -> pa.Table:
    """`said`: column, reason and content of each."""
    return pa.table([pa.repeat(file.name, len(lines)), lines, *said], schema=UNREADABLE_SCHEMA)


def rejects_by_file(
    connection: duckdb.DuckDBPyConnection, scan: Scan
) -> dict[str, tuple[pa.Table, np.ndarray]]:
    """What DuckDB rejected of each file, in order, and the number of each one's piece within the file."""
    rejects = connection.sql(render_sql(COMMON_SQL / "rejects.sql")).to_arrow_table()
    numbers = pc.index_in(rejects["path"], pa.array(scan.paths)).to_numpy()
    by_file = {}
    first = 0
    for file in scan.files:
        following = first + (len(scan.layouts[file.name].pieces) if scan.layouts else 1)
        begin, end = np.searchsorted(numbers, [first, following]).tolist()
        by_file[file.name] = rejects.slice(begin, end - begin), numbers[begin:end] - first
        first = following
    return by_file


def layout_of(scan: Scan, file: RawFile, rows: int) -> FileRecords:
    """Where the records of a file lie, of which DuckDB made this many rows, readable or rejected.

    Raises UserError where these are not all the records that it was given.
    """
    assert scan.dialect is not None
    if file.is_remote:
        scan.layouts[file.name] = whole_lines(rows, int(scan.dialect.has_header))
    layout = scan.layouts[file.name]
    if layout.handed_over != rows:
        raise UserError(
            f"{file.path}: DuckDB makes {rows:,} rows of {layout.handed_over:,} records; the table stays as it "
            f"was. Look for odd quotes from line {layout.suspicious_line} on, or did the file change meanwhile?"
        )
    return layout


def parquet_counts(connection: duckdb.DuckDBPyConnection, scan: Scan) -> dict[str, int]:
    """Rows of each Parquet file; of local ones, from their metadata."""
    if not scan.files[0].is_remote:
        return {file.name: parquet_rows(file) for file in scan.files}
    counts = dict(
        connection.execute(f"SELECT source_file, count(*) FROM raw_{scan.table} GROUP BY ALL").fetchall()
    )
    return {file.name: counts.get(file.name, 0) for file in scan.files}


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


def register_contents(connection: duckdb.DuckDBPyConnection, scan: Scan) -> None:
    """Create `contents` (file, line, content) for the rows of `refused_rows` (file, line).

    The content of a record of a local CSV file is its text; of any other, its values as JSON.
    """
    if scan.dialect is None or scan.files[0].is_remote:
        values = ", ".join(f"{quote_identifier(name)} := {quote_identifier(name)}" for name in scan.columns)
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE contents AS SELECT source_file AS file, source_line AS line, "
            f"to_json(struct_pack({values}))::VARCHAR AS content, 1 AS lines FROM raw_{scan.table} "
            "SEMI JOIN refused_rows ON source_file = file AND source_line = line "
            "UNION ALL SELECT file, line, content, 1 FROM unreadable"
        )
        return
    parts = [CONTENTS_SCHEMA.empty_table()]
    for file in scan.files:
        lines = connection.execute(
            "SELECT DISTINCT line FROM refused_rows WHERE file = ? ORDER BY line", [file.name]
        ).fetchnumpy()["line"]
        if len(lines):
            contents, counts = read_contents(file, scan.layouts[file.name], lines, scan.dialect.encoding)
            names = pa.repeat(file.name, len(lines))
            parts.append(pa.table([names, lines, contents, counts], schema=CONTENTS_SCHEMA))
    connection.register("contents", pa.concat_tables(parts))
