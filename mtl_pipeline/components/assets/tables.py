"""The canonical tables in the warehouse: users, items, interactions, and the rows that were rejected."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from mtl_pipeline.components.assets.raw_files import record_version_read
from mtl_pipeline.components.checks import ROWS_READ
from mtl_pipeline.components.context import PRIORITY, PipelineContext
from mtl_pipeline.components.metadata import IN_SHORT, counts_table, markdown_table
from mtl_pipeline.paths import COMMON_SQL
from mtl_pipeline.spec.assets import code_version
from mtl_pipeline.warehouse.tables import build_rejected_rows, build_table, preview, required_columns

KINDS = {"duckdb", "sql"}
CLEANING_SQL = ("scan.sql", "rejects.sql", "number_lines.sql", "clean.sql", "publish.sql")
REASONS_SHOWN = 3


def table_asset(pipeline: PipelineContext, table: str) -> dg.AssetsDefinition:
    paths, spec = pipeline.paths, pipeline.spec
    sql = paths.sql / f"{table}.sql"

    @pipeline.asset(
        name=table,
        reads=[f"raw_{table}", *(spec.entities if table == "interactions" else [])],
        kinds=KINDS,
        description=f"Rows of `{getattr(spec.raw, table)}` that pass `sql/{pipeline.name}/{sql.name}`: "
        "typed, keyed, without duplicates. Every other row goes to rejected_rows.",
        code_version=code_version(
            sql=[sql, *(COMMON_SQL / name for name in CLEANING_SQL)],
            settings=table_settings(pipeline, table),
        ),
    )
    def clean(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        versions = record_version_read(context, pipeline, table)
        summary = build_table(paths, spec, table)
        in_short = f"{summary.rows_kept:,} of {summary.rows_read:,} rows kept"
        context.log.info(f"{table}: {in_short}")
        in_short += f", {summary.rows_merged:,} merged into them" * bool(summary.rows_merged)
        in_short += rejections(summary.rejected_by_reason)
        columns = [dg.TableColumn(name, type=type_) for name, type_ in summary.columns.items()]
        return dg.MaterializeResult(
            data_version=dg.DataVersion(summary.fingerprint),
            metadata={
                IN_SHORT: in_short,
                "dagster/row_count": summary.rows_kept,
                "dagster/table_name": table,
                "dagster/column_schema": dg.TableSchema(columns),
                ROWS_READ: summary.rows_read,
                "rows rejected": summary.rows_rejected,
                "rows merged": summary.rows_merged,
                "rejected because": counts_table(summary.rejected_by_reason, "reason"),
                "preview": markdown_table(preview(paths, table)),
                "warehouse": dg.MetadataValue.path(paths.warehouse),
            },
            tags=versions,
        )

    return clean


def rejections(by_reason: Mapping[str, int]) -> str:
    """The most frequent reasons, to end a sentence with."""
    most = sorted(by_reason.items(), key=lambda found: -found[1])
    told = [f"{reason} ({rows:,})" for reason, rows in most[:REASONS_SHOWN]]
    more = [f"{len(most) - REASONS_SHOWN} further reasons"] * (len(most) > REASONS_SHOWN)
    return f". Rejected for {'; '.join(told + more)}" if told else ""


def table_settings(pipeline: PipelineContext, table: str) -> dict[str, Any]:
    """The parts of the specification that the cleaning of a table depends on."""
    spec = pipeline.spec
    settings: dict[str, Any] = {
        "raw": [getattr(spec.raw, table), spec.raw.columns_of(table), *spec.raw.how_written],
        "columns": required_columns(spec, table),
    }
    if table == "interactions":
        settings |= {"key": spec.interaction_key, "repeats": spec.repeats}
        settings["known_at"] = [(task.column, task.known_at) for task in spec.tasks]
    return settings


def rejected_rows_asset(pipeline: PipelineContext) -> dg.AssetsDefinition:
    paths, spec = pipeline.paths, pipeline.spec

    @pipeline.asset(
        reads=spec.tables,
        op_tags={PRIORITY: "1"},
        kinds=KINDS,
        code_version=code_version(sql=[COMMON_SQL / "rejected_rows.sql"]),
    )
    def rejected_rows(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Every row that was rejected, with its file, line, column and the reason."""
        summary = build_rejected_rows(paths, spec)
        context.log.info(f"rejected_rows: {summary.rows:,} rows")
        return dg.MaterializeResult(
            data_version=dg.DataVersion(summary.fingerprint),
            metadata={
                IN_SHORT: f"{summary.rows:,} rows",
                "dagster/row_count": summary.rows,
                "dagster/table_name": "rejected_rows",
                "by table": counts_table(summary.by_table, "table"),
                "by reason": counts_table(summary.by_reason, "reason"),
                "preview": markdown_table(preview(paths, "rejected_rows", limit=10)),
                "warehouse": dg.MetadataValue.path(paths.warehouse),
            },
        )

    return rejected_rows
