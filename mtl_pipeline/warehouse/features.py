"""Point-in-time features for any set of (user, item, time) rows, in SQL."""

from __future__ import annotations

import duckdb

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import KNOWN_AT, HistoryFeature, PipelineSpec
from mtl_pipeline.warehouse.connection import column_types
from mtl_pipeline.warehouse.sql import quote_identifiers, render_sql

WHOLE_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")


def add_features(
    connection: duckdb.DuckDBPyConnection,
    paths: PipelinePaths,
    spec: PipelineSpec,
    rows: str,
    *,
    is_log: bool = False,
) -> str:
    """Join user, item and history features to a temporary table with user_id, item_id and timestamp.

    `is_log`: the rows that are not `sampled` are the interactions, all of them, with their labels. The
    table is consumed. Returns the name of the temporary table that takes its place.
    """
    source = add_entity_features(connection, spec, rows)
    known_at = KNOWN_AT if KNOWN_AT in column_types(connection, "interactions") else "timestamp"
    if is_log and known_at == "timestamp" and spec.features.history:
        return add_log_history(connection, paths, spec, source)
    for number, (keys, features) in enumerate(history_by_keys(spec).items()):
        target = f"rows_with_history_{number}"
        connection.execute(
            render_sql(
                paths.common_sql / "history.sql",
                source=source,
                target=target,
                keys=keys,
                known_at=known_at,
                user_keys=[key for key in keys if key in spec.features.users.categorical],
                item_keys=[key for key in keys if key in spec.features.items.categorical],
                labels=list(dict.fromkeys(feature.label for feature in features)),
                windows=sorted({feature.within_days for feature in features if feature.within_days}),
                features=features,
            )
        )
        source = target
    return source


def add_log_history(
    connection: duckdb.DuckDBPyConnection, paths: PipelinePaths, spec: PipelineSpec, source: str
) -> str:
    target = "rows_with_history"
    features = spec.features.history
    periods = {feature.name: (tuple(feature.by), feature.within_days) for feature in features}
    names = {period: f"history_{number}" for number, period in enumerate(dict.fromkeys(periods.values()))}
    types = column_types(connection, source)
    connection.execute(
        render_sql(
            paths.common_sql / "log_history.sql",
            source=source,
            target=target,
            features=features,
            names=names,
            whole_numbers=[label for label in spec.labels if types[label] in WHOLE_NUMBERS],
            windows={feature: names[period] for feature, period in periods.items()},
        )
    )
    return target


def add_entity_features(connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, rows: str) -> str:
    target = "rows_with_entities"
    joins = ""
    for table in spec.entities:
        key, features = f"{table.removesuffix('s')}_id", getattr(spec.features, table)
        columns = quote_identifiers([key, *features.categorical, *features.numeric])
        joins += f" JOIN (SELECT {columns} FROM {table}) USING ({key})"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {target} AS SELECT * FROM {rows}{joins}")
    connection.execute(f"DROP TABLE {rows}")
    return target


def entity_ids(spec: PipelineSpec, table: str) -> str:
    """The relation that holds every user_id or item_id: the table, or what the interactions name."""
    if table in spec.entities:
        return table
    return f"(SELECT DISTINCT {table.removesuffix('s')}_id FROM interactions)"


def history_by_keys(spec: PipelineSpec) -> dict[tuple[str, ...], list[HistoryFeature]]:
    """History features that share their keys, so that each key is scanned once."""
    groups: dict[tuple[str, ...], list[HistoryFeature]] = {}
    for feature in spec.features.history:
        groups.setdefault(tuple(feature.by), []).append(feature)
    return groups


def numeric_features(spec: PipelineSpec) -> list[tuple[str, str]]:
    """Numeric features in model order, each with the transform that precedes standardisation."""
    features = spec.features
    plain = [*features.users.numeric, *features.items.numeric, *features.interactions.numeric]
    history = [
        (feature.name, "log1p" if feature.statistic == "count" else "identity")
        for feature in spec.features.history
    ]
    return [(name, "identity") for name in plain] + history
