"""The canonical tables `users`, `items` and `interactions`, and the rows that were refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import duckdb
import polars as pl
import pyarrow as pa

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import KNOWN_AT, PipelineSpec
from mtl_pipeline.warehouse.binding import reaches_elsewhere, read_pipeline_sql
from mtl_pipeline.warehouse.connection import (
    column_types,
    confine,
    create_macros,
    fetch_one,
    open_warehouse,
    query_types,
    run_sql,
)
from mtl_pipeline.warehouse.features.label_times import steps_column, time_known
from mtl_pipeline.warehouse.features.point_in_time import id_column
from mtl_pipeline.warehouse.reading.dialect import PROVENANCE_COLUMNS, read_dialect
from mtl_pipeline.warehouse.reading.pieces import unpacked
from mtl_pipeline.warehouse.reading.raw import find_raw_files
from mtl_pipeline.warehouse.reading.scan import Scan, open_scan, register_contents, run_pipeline_sql
from mtl_pipeline.warehouse.templates import quote_identifier, quote_literals

TABLES = ("users", "items", "interactions")
SHOWN_CHARACTERS = 200
TEXTS_PER_BATCH = 8_192


@dataclass(frozen=True)
class TableSummary:
    """What became of the raw rows of one table."""

    table: str
    rows_read: int
    rows_kept: int
    rows_rejected: int
    rows_merged: int
    """Rows that were merged into an earlier one, where that is declared."""
    rejected_by_reason: dict[str, int]
    fingerprint: str
    """Changes with the content of the table, but not with the order of its rows."""
    columns: dict[str, str] = field(default_factory=dict)
    """SQL type by column name."""


@dataclass(frozen=True)
class RejectedSummary:
    rows: int
    by_table: dict[str, int]
    by_reason: dict[str, int]
    fingerprint: str


def build_table(paths: PipelinePaths, spec: PipelineSpec, table: str) -> TableSummary:
    """Clean the raw files of one table; the old table stays until the new one is complete.

    Every raw row ends up in the table or, with file, line, column and reason, in <table>_rejected.
    Raises UserError when a file or the pipeline's SQL cannot be used, or nothing is left to keep.
    """
    raw_files = find_raw_files(paths, spec.raw, table)
    dialect = None if raw_files[0].is_parquet else read_dialect(raw_files, spec.raw, table)
    with (
        open_warehouse(paths.warehouse, settings=spec.warehouse) as connection,
        unpacked(raw_files, paths.warehouse) as files,
    ):
        refuse_missing_tables(connection, spec, table)
        create_macros(connection)
        scan = open_scan(connection, table, files, dialect)
        confine(connection, [*scan.paths, *(file.path for file in files)])
        apply_pipeline_sql(connection, paths, spec, scan)
        has_known_at = KNOWN_AT in column_types(connection, "typed")
        rules = {
            "spec": spec,
            "table": table,
            "key": table_key(spec, table),
            "never_null": list(dict.fromkeys([*table_key(spec, table), *time_columns(spec, table)[:1]])),
            "references": referenced_tables(spec, table),
            "has_known_at": has_known_at,
            "times_known": {label: time_known(spec, label, has_known_at) for label in spec.labels},
            "steps_column": steps_column,
        }
        run_sql(connection, "clean.sql", **rules)
        if table not in spec.raw.may_be_empty:
            refuse_emptiness(connection, scan)
        register_contents(connection, scan)
        run_sql(connection, "publish.sql", **rules)
        return summarise_table(connection, spec, table, scan.rows_read)


def table_key(spec: PipelineSpec, table: str) -> list[str]:
    return spec.interaction_key if table == "interactions" else [id_column(table)]


def referenced_tables(spec: PipelineSpec, table: str) -> list[str]:
    """The tables that a table's rows refer to: interactions name a user_id and an item_id."""
    return spec.entities if table == "interactions" else []


def refuse_missing_tables(connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, table: str) -> None:
    present = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    needed = referenced_tables(spec, table)
    if missing := [name for name in needed if name not in present]:
        raise UserError(
            f"{table} refers to {' and '.join(needed)}: materialize {' and '.join(missing)} first"
        )


def refuse_emptiness(connection: duckdb.DuckDBPyConnection, scan: Scan) -> None:
    """Raise UserError where a file has no readable row, or no row is kept: the old table is better than none."""
    (kept,) = fetch_one(connection, "SELECT (SELECT count(*) FROM typed) - (SELECT count(*) FROM refused)")
    files = {file.name: file.path for file in scan.files}
    unread = [name for name, readable in scan.readable.items() if not readable]
    if kept and not unread:
        return
    listed = unread or list(files)
    reasons = connection.execute(
        "SELECT concat_ws(' ', \"column\", reason) || ' (' || count(*) || ', first in line ' || min(line) || ')' "
        f"FROM refused_rows WHERE file IN ({quote_literals(listed)}) "
        'GROUP BY "column", reason ORDER BY count(*) DESC LIMIT 3'
    ).fetchall()
    why = "; ".join(reason for (reason,) in reasons) or "there is none below the header"
    raise UserError(
        f"{files[listed[0]]}: no row {'can be read' if unread else 'is left to keep'}: {why}. The table {scan.table} "
        f"stays as it was. Fix the file; if it is meant to be empty, write `may_be_empty: [{scan.table}]` under "
        "`raw:` in defs.yaml"
    )


def apply_pipeline_sql(
    connection: duckdb.DuckDBPyConnection, paths: PipelinePaths, spec: PipelineSpec, scan: Scan
) -> None:
    """Run sql/<pipeline>/<table>.sql over raw_<table>: see run_pipeline_sql for what comes out."""
    path = paths.sql / f"{scan.table}.sql"
    query = read_pipeline_sql(connection, path)
    try:
        delivered = query_types(connection, query)
        required = [*required_columns(spec, scan.table), *PROVENANCE_COLUMNS, "rejection"]
        if missing := [column for column in required if column not in delivered]:
            why = f" ({spec.needing_time[0]} needs a time)" if "timestamp" in missing else ""
            raise UserError(
                f"{path} must deliver the column(s) {', '.join(missing)}{why}; it delivers {', '.join(delivered)}. "
                "docs/sql-contract.md says what it must return"
            )
        for column in time_columns(spec, scan.table):
            if not delivered.get(column, "TIMESTAMP").startswith(("TIMESTAMP", "DATE")):
                raise UserError(
                    f"{path}: {column} is {delivered[column]}, not a TIMESTAMP; see moment() in macros.sql"
                )
        run_pipeline_sql(connection, scan, query)
    except duckdb.PermissionException as error:
        raise reaches_elsewhere(path, error) from None
    except duckdb.Error as error:
        raise UserError(
            f"{path} failed on {paths.raw / getattr(spec.raw, scan.table)} "
            f"(its columns: {', '.join(scan.columns)}): {error}"
        ) from None  # whose message holds values of the data as they are


def required_columns(spec: PipelineSpec, table: str) -> list[str]:
    """Columns that the specification expects of a canonical table."""
    if table == "interactions":
        time = [column for column in time_columns(spec, table) if column != KNOWN_AT]
        split = [*(spec.split.hash_by or []), *([spec.split.column] if spec.split.column else [])]
        return list(
            dict.fromkeys(
                [*spec.interaction_key, *spec.ids, *time, *split, *spec.labels, *spec.context_features]
            )
        )
    features = getattr(spec.features, table)
    time = [spec.available_from] if table == "items" and spec.available_from else []
    return [
        *table_key(spec, table),
        *features.embedded.values(),
        *time,
        *features.categorical,
        *features.numeric,
    ]


def time_columns(spec: PipelineSpec, table: str) -> list[str]:
    """Columns of interactions that tell what was known when. The column known_at is optional."""
    if table != "interactions" or not spec.timed:
        return []
    return ["timestamp", KNOWN_AT, *(task.known_at for task in spec.tasks if task.known_at)]


def summarise_table(
    connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, table: str, rows_read: int
) -> TableSummary:
    reasons = connection.execute(
        f"SELECT concat_ws(': ', \"column\", reason), count(*) FROM {table}_rejected GROUP BY 1 ORDER BY 2 DESC, 1"
    ).fetchall()
    kept, rejected = fetch_one(
        connection, f"SELECT (SELECT count(*) FROM {table}), (SELECT count(*) FROM {table}_rejected)"
    )
    return TableSummary(
        table=table,
        rows_read=rows_read,
        rows_kept=kept,
        rows_rejected=rejected,
        rows_merged=rows_read - kept - rejected if spec.merges(table) else 0,
        rejected_by_reason=dict(reasons),
        fingerprint=table_fingerprint(connection, table),
        columns=column_types(connection, table),
    )


def table_fingerprint(connection: duckdb.DuckDBPyConnection, table: str) -> str:
    count, first, second = fetch_one(
        connection,
        f"SELECT count(*), coalesce(bit_xor(hash(t)), 0), coalesce(sum(hash(t) >> 32), 0)::HUGEINT "
        f"FROM {quote_identifier(table)} AS t",
    )
    return f"{count}-{first:x}-{second:x}"


def build_rejected_rows(paths: PipelinePaths, spec: PipelineSpec) -> RejectedSummary:
    """Gather the refused rows of all tables in `rejected_rows`."""
    with open_warehouse(paths.warehouse) as connection:
        run_sql(connection, "rejected_rows.sql", tables=spec.tables)
        by_table = connection.execute(
            "SELECT source_table, count(*) FROM rejected_rows GROUP BY 1 ORDER BY 1"
        ).fetchall()
        return RejectedSummary(
            rows=sum(count for _, count in by_table),
            by_table=dict(by_table),
            by_reason=count_rejected(connection),
            fingerprint=table_fingerprint(connection, "rejected_rows"),
        )


def count_rejected(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Rejected rows by table, column and reason, most frequent first."""
    return dict(
        connection.execute(
            "SELECT concat_ws(' ', source_table, \"column\") || ': ' || reason, count(*) "
            "FROM rejected_rows GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
    )


def read_texts(
    paths: PipelinePaths, spec: PipelineSpec, table: str, kind: str = "text"
) -> Iterator[pa.RecordBatch]:
    """Columns `id` and `text` (of `image` the paths) of users or items, as they lie in the table: DuckDB would put long
    texts in order in memory only. The warehouse is open until the last is read. Of an empty table, one empty batch."""
    text = quote_identifier(getattr(spec.features, table).embedded[kind])
    with open_warehouse(paths.warehouse, read_only=True, settings=spec.warehouse) as connection:
        rows = connection.sql(f"SELECT {id_column(table)} AS id, {text} AS text FROM {table}")
        batches = rows.to_arrow_reader(TEXTS_PER_BATCH)
        yield pa.RecordBatch.from_pylist([], schema=batches.schema)
        yield from batches


def read_item_texts(paths: PipelinePaths, spec: PipelineSpec, items: pl.Series) -> pl.DataFrame:
    """Columns `item_id` and `item_text` of those of the items that have a text: its first SHOWN_CHARACTERS, with
    each run of white space as one blank. Raises UserError when there is no warehouse yet."""
    wanted = items.alias("item_id").unique().to_frame()
    if ("items", "text") not in spec.embedded:
        return wanted.clear().with_columns(pl.lit(None, pl.String).alias("item_text"))
    text = quote_identifier(spec.features.items.embedded["text"])
    with open_warehouse(paths.warehouse, read_only=True) as connection:
        connection.register("wanted", wanted.to_arrow())
        return connection.sql(
            f"SELECT item_id, left(trim(regexp_replace({text}, '\\s+', ' ', 'g')), {SHOWN_CHARACTERS}) AS item_text "
            f"FROM items SEMI JOIN wanted USING (item_id) WHERE {text} IS NOT NULL ORDER BY item_id"
        ).pl()


def read_item_values(paths: PipelinePaths, column: str | None, items: pl.Series) -> pl.DataFrame:
    """Columns `item_id` and `category`, the list of the values in `column` of each of the items; empty lists without a
    column, or a value. Raises UserError when there is no warehouse yet."""
    wanted = items.alias("item_id").unique().to_frame()
    value = quote_identifier(column) if column else "[]::VARCHAR[]"
    with open_warehouse(paths.warehouse, read_only=True) as connection:
        connection.register("wanted", wanted.to_arrow())
        found = connection.sql(
            f"SELECT item_id, {value} AS category FROM items SEMI JOIN wanted USING (item_id) ORDER BY item_id"
        ).pl()
    lists = pl.concat_list("category").cast(pl.List(pl.String))  # of a list: the list
    return found.with_columns(lists.list.drop_nulls().fill_null([]))


def preview(paths: PipelinePaths, table: str, limit: int = 5) -> pl.DataFrame:
    """The first rows of a warehouse table."""
    with open_warehouse(paths.warehouse, read_only=True) as connection:
        return connection.sql(f"SELECT * FROM {quote_identifier(table)} LIMIT {int(limit)}").pl()
