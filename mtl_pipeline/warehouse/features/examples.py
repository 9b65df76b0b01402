"""The examples that the model learns from: labels, split and point-in-time features, as Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import folder_fingerprint, publish_folder
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.connection import column_types, fetch_one, open_warehouse, run_sql
from mtl_pipeline.warehouse.features.label_times import end_of_log, label_steps, steps_column
from mtl_pipeline.warehouse.features.point_in_time import add_features, numeric_features
from mtl_pipeline.warehouse.features.sequences import add_sequence_features
from mtl_pipeline.warehouse.templates import quote_identifier, quote_literal

SPLITS = ("train", "validation", "test")
MOST_NAMED = 10
"""Values that an error message lists."""
LATE_TABLES = ("label_steps", "late_labels")
"""Published beside the examples where labels may arrive, or change, after their row: the values of each label over
time, by example; and how many labels of each split and task arrived, or were changed, too late for that split."""


@dataclass(frozen=True)
class Part:
    """The rows of one split."""

    rows: int
    start: datetime | None
    """Time of the first row; None where there is no time."""
    end: datetime | None
    """Time of the last row."""
    labels: dict[str, int]
    """Number of observed labels, by task."""
    means: dict[str, float]
    """Mean of the observed labels, by task."""


@dataclass(frozen=True)
class ExamplesSummary:
    """Size and make-up of the published examples."""

    rows: int
    rows_by_split: dict[str, int]
    label_rates: dict[str, dict[str, float]]
    """Mean of the observed labels, by task and split."""
    observed: dict[str, dict[str, int]]
    """Number of observed labels, by task and split."""
    late: pl.DataFrame
    """split, task, not_yet_known, changed_later: labels that arrived, or were changed, too late for their split; empty
    where labels are known at the time of their row."""
    boundaries: dict[str, str]
    """ISO times at which the validation and the test split start; empty where a hash decides."""
    features: list[str]
    fingerprint: str


def build_examples(paths: PipelinePaths, spec: PipelineSpec) -> ExamplesSummary:
    """Sample negatives, split by time, add features, and publish the examples with their statistics.

    Writes examples.parquet, statistics.parquet, vocabulary.parquet and, with sequences, chosen.parquet to
    `paths.examples`. The warehouse, and for sequences the vectors of the items' texts, are only read.
    Raises UserError when a split is empty, or when no label of a task was known in time.
    """
    features = [*spec.categorical_features, *(name for name, _ in numeric_features(spec))]
    with open_warehouse(paths.warehouse, read_only=True, settings=spec.warehouse) as connection:
        steps = label_steps(connection, spec)
        values = {"spec": spec, "steps": steps, "steps_column": steps_column}
        run_sql(connection, "impressions.sql", **values, end_of_log=end_of_log(spec))
        refuse_unclear_parts(connection, spec)
        source = add_features(connection, spec, "impressions", is_log=True)
        source = add_sequence_features(connection, paths, spec, source)
        run_sql(
            connection, "examples.sql", **values, source=source, order=example_order(spec), features=features
        )
        parts = count_parts(connection, spec)
        late = connection.sql("FROM late_labels ORDER BY ALL").pl() if steps else pl.DataFrame()
        boundaries = split_boundaries(connection, spec)
        refuse_unusable_splits(parts, late, boundaries)
        with publish_folder(paths.examples) as folder:
            write_examples(connection, spec, folder, *(LATE_TABLES if steps else ()))
            fingerprint = folder_fingerprint(folder)
    tasks = [task.name for task in spec.tasks]
    return ExamplesSummary(
        rows=sum(part.rows for part in parts.values()),
        rows_by_split={split: part.rows for split, part in parts.items()},
        label_rates={task: {split: part.means[task] for split, part in parts.items()} for task in tasks},
        observed={task: {split: part.labels[task] for split, part in parts.items()} for task in tasks},
        late=late,
        boundaries=boundaries,
        features=features,
        fingerprint=fingerprint,
    )


def example_order(spec: PipelineSpec) -> list[str]:
    """By time, then by user, with the negatives of a moment after its positives."""
    return [
        *(["timestamp"] if spec.timed else []),
        *(["user_id"] if "user_id" in spec.ids else []),
        "sampled",
        *(["item_id"] if "item_id" in spec.ids else []),
        *spec.key_columns,
        *spec.context_features,
    ]


def count_parts(
    connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, examples: str = "examples"
) -> dict[str, Part]:
    """What each split of the relation `examples` holds, in the order of SPLITS."""
    tasks = [task.name for task in spec.tasks]
    counts, means = (
        ", ".join(f"{function}({quote_identifier(task)})" for task in tasks) for function in ("count", "avg")
    )
    rows = connection.execute(
        f"SELECT split, count(*), min(timestamp), max(timestamp), [{counts}], [{means}] FROM {examples} GROUP BY split"
    ).fetchall()
    parts = {
        split: Part(count, start, end, *(dict(zip(tasks, values, strict=True)) for values in by_task))
        for split, count, start, end, *by_task in rows
    }
    return {split: parts.get(split, Part(0, None, None, dict.fromkeys(tasks, 0), {})) for split in SPLITS}


def split_boundaries(connection: duckdb.DuckDBPyConnection, spec: PipelineSpec) -> dict[str, str]:
    if not spec.split.by_time:
        return {}
    starts = fetch_one(connection, "SELECT _validation_start, _test_start FROM split_boundaries")
    return {split: start.isoformat() for split, start in zip(SPLITS[1:], starts, strict=True)}


def refuse_unclear_parts(connection: duckdb.DuckDBPyConnection, spec: PipelineSpec) -> None:
    """Raise UserError where the column of the split holds a value that belongs to no split, or lacks one that does."""
    if not spec.split.column:
        return
    parts = spec.split.parts
    declared = {value for values in parts.values() for value in values}
    counts = "SELECT _part, count(*) FROM impressions GROUP BY 1 ORDER BY 2 DESC, 1"
    found = dict(connection.execute(counts).fetchall())
    where = f"split: column {spec.split.column} of interactions"
    for value, rows in found.items():
        if value in declared or (value is not None and "train" not in parts):
            continue
        which, remedy = f"has the value '{value}'", "name it in `split.values` of defs.yaml"
        if value is None:
            which, remedy = "is NULL", "deliver a value"
        raise UserError(
            f"{where} {which} in {rows:,} rows, which belong to no split; {remedy}, or refuse such rows in "
            "interactions.sql"
        )
    for part, values in parts.items():
        if absent := [value for value in values if value not in found]:
            raise UserError(
                f"{where} never has the value '{absent[0]}', which `split.values` of defs.yaml gives to {part}; it "
                f"has: {', '.join(list(found)[:MOST_NAMED])}"
            )


def refuse_unusable_splits(parts: dict[str, Part], late: pl.DataFrame, boundaries: dict[str, str]) -> None:
    """Raise UserError where a split is empty, or has labels of a task of which none was known in time."""
    if empty := [split for split, part in parts.items() if not part.rows]:
        raise UserError(
            f"the {' and '.join(empty)} split is empty: there are too few interactions, or too many share "
            "one timestamp; adjust `split:` in defs.yaml"
        )
    following = {"train": "validation", "validation": "test"}
    for split, task, count, _ in late.iter_rows():
        if count and not parts[split].labels[task]:
            start = boundaries.get(following.get(split, ""))
            end = f"{following[split]} starts ({start})" if start else "the log ends"
            raise UserError(
                f"task {task}: of the {count:,} labels of {split} none was known before {end}; give the splits more "
                "room (`split:` in defs.yaml), or see whether the label can be known earlier (known_at, "
                "known_after_days)"
            )


def write_examples(
    connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, folder: Path, *more: str
) -> None:
    """Write the relation `examples`, the statistics and vocabulary of its training rows, and `more` relations."""
    types = column_types(connection, "examples")
    run_sql(
        connection,
        "statistics.sql",
        numeric=numeric_features(spec),
        clip=spec.features.clip,
        categorical=[(name, types[name].endswith("[]")) for name in [*spec.ids, *spec.categorical_features]],
    )
    chosen = ["chosen"] if spec.features.sequence else []
    for table in ("examples", "statistics", "vocabulary", *chosen, *more):
        connection.execute(
            f"COPY {table} TO {quote_literal(folder / f'{table}.parquet')} "
            "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
        )
