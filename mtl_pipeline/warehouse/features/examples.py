"""The examples that the model learns from: labels, split and point-in-time features, as Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import COMMON_SQL, PipelinePaths
from mtl_pipeline.publishing import folder_fingerprint, publish_folder
from mtl_pipeline.spec import PipelineSpec, Task
from mtl_pipeline.warehouse.connection import column_types, fetch_one, open_warehouse
from mtl_pipeline.warehouse.features.label_times import end_of_log, label_steps, steps_column
from mtl_pipeline.warehouse.features.point_in_time import add_features, numeric_features
from mtl_pipeline.warehouse.templates import quote_identifier, quote_literal, render_sql

SPLITS = ("train", "validation", "test")
LATE_TABLES = ("label_steps", "late_labels")
"""Published beside the examples where labels may come, or change, after their row: by example and task since when the
label stood at what; and by split and task how many came, or were changed, too late for their split."""


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
    """split, task, not_yet_known, changed_later: labels that came, or were changed, too late for their split; without
    rows where labels are known at the time of their row."""
    boundaries: dict[str, str]
    """ISO times at which the validation and the test split start; empty where a hash decides."""
    features: list[str]
    fingerprint: str


def build_examples(paths: PipelinePaths, spec: PipelineSpec) -> ExamplesSummary:
    """Sample negatives, split by time, add features, and publish the examples with their statistics.

    Writes examples.parquet, statistics.parquet and vocabulary.parquet to `paths.examples`. The
    warehouse is only read.
    Raises UserError when a split comes out empty, or when no label of a task was known in time.
    """
    numeric, categorical = numeric_features(spec), spec.categorical_features
    features = [*categorical, *(name for name, _ in numeric)]
    with open_warehouse(paths.warehouse, read_only=True, settings=spec.warehouse) as connection:
        steps = label_steps(connection, spec)
        sample_impressions(connection, spec, steps)
        source = add_features(connection, spec, "impressions", is_log=True)
        connection.execute(
            render_sql(
                COMMON_SQL / "examples.sql",
                source=source,
                keys=example_keys(spec),
                order=example_order(spec),
                tasks=spec.tasks,
                chains=task_chains(spec),
                steps=steps,
                steps_column=steps_column,
                negatives=spec.negatives,
                root_task=spec.root_task.name,
                timed=spec.timed,
                features=features,
                hash_by=spec.split.hash_by,
                train=spec.split.train,
                validation=spec.split.validation,
                seed=spec.seed,
            )
        )
        types = column_types(connection, "examples")
        connection.execute(
            render_sql(
                COMMON_SQL / "statistics.sql",
                numeric=numeric,
                categorical=[(name, types[name].endswith("[]")) for name in [*spec.ids, *categorical]],
            )
        )
        summary = summarise_examples(connection, spec, features, steps)
        with publish_folder(paths.examples) as folder:
            for table in ("examples", "statistics", "vocabulary", *(LATE_TABLES if steps else ())):
                write_parquet(connection, table, folder / f"{table}.parquet")
            return ExamplesSummary(**summary, fingerprint=folder_fingerprint(folder))


def example_keys(spec: PipelineSpec) -> list[str]:
    """Ids, timestamp, and what else identifies an interaction."""
    return [*spec.ids, "timestamp", *spec.key_columns]


def example_order(spec: PipelineSpec) -> list[str]:
    """By time; then by user, with the negatives of a moment behind its positives."""
    return [
        *(["timestamp"] if spec.timed else []),
        *(["user_id"] if "user_id" in spec.ids else []),
        "sampled",
        *(["item_id"] if "item_id" in spec.ids else []),
        *spec.key_columns,
        *spec.context_features,
    ]


def task_chains(spec: PipelineSpec) -> dict[str, list[Task]]:
    """By task, the tasks that have to happen before it, the first one first."""
    return {task.name: spec.chain(task)[:-1] for task in spec.tasks}


def sample_impressions(
    connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, steps: dict[str, str]
) -> None:
    """`steps`: of the labels that may be known late (see label_steps)."""
    connection.execute(
        render_sql(
            COMMON_SQL / "impressions.sql",
            negatives=spec.negatives.per_positive if spec.negatives else 0,
            unmet=spec.negatives.unmet if spec.negatives else None,
            steps=steps,
            steps_column=steps_column,
            end_of_log=end_of_log(spec),
            root_label=spec.root_task.column,
            ids=spec.ids,
            timed=spec.timed,
            key_columns=spec.key_columns,
            labels=spec.labels,
            context=spec.context_features,
            has_items="items" in spec.entities,
            available_from=spec.available_from,
            hash_by=spec.split.hash_by,
            validation_from=spec.split.validation_from,
            test_from=spec.split.test_from,
            train=spec.split.train,
            validation=spec.split.validation,
            seed=spec.seed,
        )
    )


def write_parquet(connection: duckdb.DuckDBPyConnection, table: str, path: Path) -> None:
    connection.execute(
        f"COPY {table} TO {quote_literal(path)} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
    )


def refuse_unknown_labels(
    late: pl.DataFrame, observed: dict[str, dict[str, int]], boundaries: dict[str, str]
) -> None:
    """Raise UserError where a split has labels of a task, and none of them was known in time."""
    ends = {"train": "validation", "validation": "test"}
    for row in late.iter_rows(named=True):
        task, split, count = row["task"], row["split"], row["not_yet_known"]
        if count and not observed[task].get(split):
            starts = boundaries.get(ends.get(split, ""))
            end = f"{ends[split]} starts ({starts})" if starts else "the log ends"
            raise UserError(
                f"task {task}: of the {count:,} labels of {split} none was known before {end}; give the splits more "
                "room (`split:` in defs.yaml), or see whether the label can be known earlier (known_at, "
                "known_after_days)"
            )


def summarise_examples(
    connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, features: list[str], steps: dict[str, str]
) -> dict:
    rows_by_split = dict(connection.execute("SELECT split, count(*) FROM examples GROUP BY split").fetchall())
    if empty := [split for split in SPLITS if not rows_by_split.get(split)]:
        raise UserError(
            f"the {' and '.join(empty)} split is empty: there are too few interactions, or too many share "
            "one timestamp; adjust `split:` in defs.yaml"
        )
    rates: dict[str, dict[str, float]] = {}
    observed: dict[str, dict[str, int]] = {}
    for task in spec.tasks:
        column = quote_identifier(task.name)
        for split, mean, count in connection.execute(
            f"SELECT split, avg({column}), count({column}) FROM examples GROUP BY split"
        ).fetchall():
            rates.setdefault(task.name, {})[split] = mean
            observed.setdefault(task.name, {})[split] = count
    boundaries = {}
    if spec.split.hash_by is None:
        validation_start, test_start = fetch_one(
            connection, "SELECT _validation_start, _test_start FROM split_boundaries"
        )
        boundaries = {"validation": validation_start.isoformat(), "test": test_start.isoformat()}
    late = connection.sql("FROM late_labels ORDER BY ALL").pl() if steps else pl.DataFrame()
    refuse_unknown_labels(late, observed, boundaries)
    return {
        "late": late,
        "rows": sum(rows_by_split.values()),
        "rows_by_split": {split: rows_by_split[split] for split in SPLITS},
        "label_rates": rates,
        "observed": observed,
        "boundaries": boundaries,
        "features": features,
    }
