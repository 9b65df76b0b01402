"""The canonical tables in the warehouse: users, items, interactions, and the rows that were refused."""

import dagster as dg

from mtl_pipeline.components.checks import ROWS_READ
from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.metadata import column_schema, counts_table, markdown_table
from mtl_pipeline.components.raw_files import record_version_read
from mtl_pipeline.paths import COMMON_SQL
from mtl_pipeline.spec.assets import code_version
from mtl_pipeline.warehouse.tables import (
    TableSummary,
    build_rejected_rows,
    build_table,
    preview,
    required_columns,
)

KINDS = {"duckdb", "sql"}
CLEANING_SQL = ("scan.sql", "rejects.sql", "number_lines.sql", "clean.sql", "publish.sql")


def table_assets(pipeline: PipelineContext) -> list[dg.AssetsDefinition]:
    return [*(table_asset(pipeline, table) for table in pipeline.spec.tables), rejected_rows_asset(pipeline)]


def table_asset(pipeline: PipelineContext, table: str) -> dg.AssetsDefinition:
    sql = pipeline.paths.sql / f"{table}.sql"
    referenced = pipeline.spec.entities if table == "interactions" else []

    @pipeline.asset(
        name=table,
        reads=[f"raw_{table}", *referenced],
        kinds=KINDS,
        description=f"Rows of `{getattr(pipeline.spec.raw, table)}` that pass `sql/{pipeline.name}/{sql.name}`: "
        "typed, keyed, without duplicates. Every other row goes to rejected_rows.",
        code_version=code_version(
            sql=[sql, *(COMMON_SQL / name for name in CLEANING_SQL)],
            settings=table_settings(pipeline, table),
        ),
    )
    def clean(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        versions = record_version_read(context, pipeline, table)
        summary = build_table(pipeline.paths, pipeline.spec, table)
        context.log.info(f"{table}: {summary.rows_kept:,} of {summary.rows_read:,} rows kept")
        return dg.MaterializeResult(
            data_version=dg.DataVersion(summary.fingerprint),
            metadata=table_metadata(pipeline, summary),
            tags=versions,
        )

    return clean


def table_settings(pipeline: PipelineContext, table: str) -> dict:
    """The parts of the specification that the cleaning of a table depends on."""
    spec = pipeline.spec
    raw = [getattr(spec.raw, table), spec.raw.columns_of(table), *spec.raw.how_written]
    if table == "interactions":
        return {
            "raw": raw,
            "key": spec.interaction_key,
            "repeats": spec.repeats,
            "known_at": [(task.column, task.known_at) for task in spec.tasks],
            "columns": required_columns(spec, table),
        }
    return {"raw": raw, "columns": required_columns(spec, table)}


def table_metadata(pipeline: PipelineContext, summary: TableSummary) -> dict:
    return {
        "dagster/row_count": summary.rows_kept,
        "dagster/table_name": summary.table,
        "dagster/column_schema": column_schema(summary.columns),
        ROWS_READ: summary.rows_read,
        "rows rejected": summary.rows_rejected,
        "rows merged": summary.rows_merged,
        "rejected because": counts_table(summary.rejected_by_reason, "reason"),
        "preview": markdown_table(preview(pipeline.paths, summary.table)),
        "warehouse": dg.MetadataValue.path(pipeline.paths.warehouse),
    }


def rejected_rows_asset(pipeline: PipelineContext) -> dg.AssetsDefinition:
    @pipeline.asset(
        reads=pipeline.spec.tables,
        kinds=KINDS,
        code_version=code_version(sql=[COMMON_SQL / "rejected_rows.sql"]),
    )
    def rejected_rows(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Every row that was refused, with its file, line, column and the reason."""
        summary = build_rejected_rows(pipeline.paths, pipeline.spec)
        context.log.info(f"rejected_rows: {summary.rows:,} rows")
        return dg.MaterializeResult(
            data_version=dg.DataVersion(summary.fingerprint),
            metadata={
                "dagster/row_count": summary.rows,
                "dagster/table_name": "rejected_rows",
                "by table": counts_table(summary.by_table, "table"),
                "by reason": counts_table(summary.by_reason, "reason"),
                "preview": markdown_table(preview(pipeline.paths, "rejected_rows", limit=10)),
                "warehouse": dg.MetadataValue.path(pipeline.paths.warehouse),
            },
        )

    return rejected_rows
