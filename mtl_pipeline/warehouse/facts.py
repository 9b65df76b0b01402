"""What a report says about the data, read from what was published."""

from __future__ import annotations

from typing import TypedDict

import polars as pl

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import reading
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.connection import open_warehouse
from mtl_pipeline.warehouse.templates import quote_identifier, quote_literal

BY_TIME = "CASE split WHEN 'train' THEN 1 WHEN 'validation' THEN 2 ELSE 3 END"


class DataFacts(TypedDict):
    rows_by_split: dict[str, int]
    split_boundaries: dict[str, tuple[str, str]]
    """First and last time of each split, ISO; empty where there is no time."""
    label_rates: dict[str, dict[str, float]]
    """Mean of the observed labels, by split and task."""
    late_labels: dict[str, str]
    """By split and task, the labels that came, or were changed, too late for it."""
    rejected_rows: dict[str, int]
    """Rows by table and reason, most frequent first."""


def describe_data(paths: PipelinePaths, spec: PipelineSpec) -> DataFacts:
    """Raises UserError when there is no warehouse yet, or no examples."""
    tasks = [task.name for task in spec.tasks]
    means = ", ".join(f"avg({quote_identifier(task)})" for task in tasks)
    with (
        reading(paths.examples) as folder,
        open_warehouse(paths.warehouse, read_only=True) as connection,
    ):
        examples = f"read_parquet({quote_literal(folder / 'examples.parquet')})"
        splits = connection.execute(
            f"SELECT split, count(*), min(timestamp), max(timestamp), {means} "
            f"FROM {examples} GROUP BY split ORDER BY {BY_TIME}"
        ).fetchall()
        rejected = connection.execute(
            "SELECT concat_ws(' ', source_table, \"column\") || ': ' || reason, count(*) "
            "FROM rejected_rows GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
    return DataFacts(
        rows_by_split={split: rows for split, rows, *_ in splits},
        split_boundaries={
            split: (first.isoformat(), last.isoformat()) for split, _, first, last, *_ in splits if first
        },
        label_rates={split: dict(zip(tasks, rates, strict=True)) for split, _, _, _, *rates in splits},
        late_labels=late_labels(paths),
        rejected_rows=dict(rejected),
    )


def late_labels(paths: PipelinePaths) -> dict[str, str]:
    """Empty where labels are known at the time of their row."""
    path = paths.examples / "late_labels.parquet"
    if not path.is_file():
        return {}
    return {
        f"{split}: {task}": f"{unknown:,} not yet known, {changed:,} changed later"
        for split, task, unknown, changed in pl.read_parquet(path).iter_rows()
    }
