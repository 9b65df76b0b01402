"""What a report says about the data, from what was published."""

from __future__ import annotations

from typing import TypedDict

import polars as pl

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import reading
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.connection import open_warehouse
from mtl_pipeline.warehouse.features.examples import count_parts
from mtl_pipeline.warehouse.tables import count_rejected
from mtl_pipeline.warehouse.templates import quote_literal


class DataFacts(TypedDict):
    rows_by_split: dict[str, int]
    split_boundaries: dict[str, tuple[str, str]]
    """First and last time of each split, ISO; empty where there is no time."""
    label_rates: dict[str, dict[str, float]]
    """Mean of the observed labels, by split and task."""
    late_labels: dict[str, str]
    """By split and task, how many labels arrived, or were changed, too late for the split."""
    rejected_rows: dict[str, int]
    """Rows by table and reason, most frequent first."""


def describe_data(paths: PipelinePaths, spec: PipelineSpec) -> DataFacts:
    """Raises UserError when there is no warehouse yet, or there are no examples."""
    with (
        reading(paths.examples) as folder,
        open_warehouse(paths.warehouse, read_only=True) as connection,
    ):
        parts = count_parts(connection, spec, f"read_parquet({quote_literal(folder / 'examples.parquet')})")
        rejected = count_rejected(connection)
    return DataFacts(
        rows_by_split={split: part.rows for split, part in parts.items()},
        split_boundaries={
            split: (part.start.isoformat(), part.end.isoformat())
            for split, part in parts.items()
            if part.start and part.end
        },
        label_rates={split: part.means for split, part in parts.items()},
        late_labels=late_labels(paths),
        rejected_rows=rejected,
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
