"""The examples that the model learns from: labels, split and point-in-time features, as Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import folder_fingerprint, publish_folder
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.connection import column_types, fetch_one, open_warehouse
from mtl_pipeline.warehouse.features import add_features, entity_ids, numeric_features
from mtl_pipeline.warehouse.sql import quote_identifier, quote_literal, render_sql

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class ExamplesSummary:
    """Size and make-up of the published examples."""

    rows: int
    rows_by_split: dict[str, int]
    label_rates: dict[str, dict[str, float]]
    """Mean of the observed labels, by task and split."""
    observed: dict[str, dict[str, int]]
    """Number of observed labels, by task and split."""
    boundaries: dict[str, str]
    """ISO times at which the validation and the test split start; empty where a hash decides."""
    features: list[str]
    fingerprint: str


def build_examples(paths: PipelinePaths, spec: PipelineSpec) -> ExamplesSummary:
    """Sample negatives, split by time, add features, and publish the examples with their statistics.

    Writes examples.parquet, statistics.parquet and vocabulary.parquet to `paths.examples`. The
    warehouse is only read.
    Raises UserError when a split comes out empty.
    """
    numeric, categorical = numeric_features(spec), spec.categorical_features
    features = [*categorical, *(name for name, _ in numeric)]
    with open_warehouse(paths.warehouse, read_only=True, settings=spec.warehouse) as connection:
        sample_impressions(connection, paths, spec)
        source = add_features(connection, paths, spec, "impressions", is_log=True)
        connection.execute(
            render_sql(
                paths.common_sql / "examples.sql",
                source=source,
                keys=example_keys(spec),
                order=example_order(spec),
                tasks=spec.tasks,
                conditions={
                    task.name: [step.column for step in spec.chain(task)[:-1]] for task in spec.tasks
                },
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
                paths.common_sql / "statistics.sql",
                numeric=numeric,
                categorical=[(name, types[name].endswith("[]")) for name in [*spec.ids, *categorical]],
            )
        )
        summary = summarise_examples(connection, spec, features)
        with publish_folder(paths.examples) as folder:
            for table in ("examples", "statistics", "vocabulary"):
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


def sample_impressions(
    connection: duckdb.DuckDBPyConnection, paths: PipelinePaths, spec: PipelineSpec
) -> None:
    connection.execute(
        render_sql(
            paths.common_sql / "impressions.sql",
            negatives=spec.negatives.per_positive if spec.negatives else 0,
            root_label=spec.root_task.column,
            ids=spec.ids,
            timed=spec.timed,
            key_columns=spec.key_columns,
            labels=spec.labels,
            context=spec.context_features,
            items=entity_ids(spec, "items"),
            available_from=spec.available_from,
            hash_by=spec.split.hash_by,
            train=spec.split.train,
            validation=spec.split.validation,
            seed=spec.seed,
        )
    )


def write_parquet(connection: duckdb.DuckDBPyConnection, table: str, path: Path) -> None:
    connection.execute(
        f"COPY {table} TO {quote_literal(path)} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
    )


def summarise_examples(
    connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, features: list[str]
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
        validation_start, test_start = fetch_one(connection, "SELECT * FROM split_boundaries")
        boundaries = {"validation": validation_start.isoformat(), "test": test_start.isoformat()}
    return {
        "rows": sum(rows_by_split.values()),
        "rows_by_split": {split: rows_by_split[split] for split in SPLITS},
        "label_rates": rates,
        "observed": observed,
        "boundaries": boundaries,
        "features": features,
    }
