"""Examples: what the model learns from."""

from pathlib import Path

import dagster as dg
import polars as pl

from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.metadata import counts_table, markdown_table, published
from mtl_pipeline.paths import COMMON_SQL
from mtl_pipeline.spec.assets import code_version, embeddings_name, examples_settings
from mtl_pipeline.warehouse.features import history, sequences
from mtl_pipeline.warehouse.features.examples import ExamplesSummary, build_examples

SQL = (
    "impressions.sql",
    "history.sql",
    "history_log.sql",
    "history_windows.sql",
    "history_lists.sql",
    "history_features.sql",
    "examples.sql",
    "known_label.sql",
    "statistics.sql",
)
MADE_BY = [*(COMMON_SQL / name for name in SQL), Path(history.__file__), *sequences.MADE_BY]


def examples_asset(pipeline: PipelineContext) -> dg.AssetsDefinition:
    paths, spec = pipeline.paths, pipeline.spec

    @pipeline.asset(
        reads=[*spec.tables, *([embeddings_name("items")] if spec.sequence_reads_text else [])],
        kinds={"duckdb", "sql", "parquet"},
        code_version=code_version(sql=MADE_BY, settings=examples_settings(spec)),
    )
    def examples(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """One row per impression: labels, features as they were known at that time, and split by time."""
        summary = build_examples(paths, spec)
        by_split = ", ".join(f"{rows:,} {split}" for split, rows in summary.rows_by_split.items())
        in_short = f"{summary.rows:,} rows: {by_split}; {len(summary.features)} features"
        context.log.info(f"examples: {in_short}")
        metadata = {
            "dagster/row_count": summary.rows,
            "rows by split": counts_table(summary.rows_by_split, "split"),
            "labels": label_table(summary),
            **({"late labels": markdown_table(summary.late)} if len(summary.late) else {}),
            **{f"{split} starts": time for split, time in summary.boundaries.items()},
            "features": ", ".join(summary.features),
        }
        if spec.negatives:
            metadata["negatives copy"] = ", ".join(spec.context_features) or "nothing"
        return published(summary.fingerprint, paths.examples, metadata, in_short=in_short)

    return examples


def label_table(summary: ExamplesSummary) -> dg.MarkdownMetadataValue:
    rows = [
        {"task": task, "split": split, "observed": f"{count:,}", "mean": summary.label_rates[task][split]}
        for task, by_split in summary.observed.items()
        for split, count in by_split.items()
    ]
    return markdown_table(pl.DataFrame(rows).sort("task", "split", descending=[False, True]))
