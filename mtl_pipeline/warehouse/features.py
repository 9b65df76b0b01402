"""Point-in-time features for any set of (user, item, time) rows, in SQL."""

from __future__ import annotations

import duckdb

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import HistoryFeature, PipelineSpec
from mtl_pipeline.warehouse.sql import quote_identifiers, render_sql


def add_features(
    connection: duckdb.DuckDBPyConnection, paths: PipelinePaths, spec: PipelineSpec, rows: str
) -> str:
    """Join user, item and history features to a temporary table with user_id, item_id and timestamp.

    The table is consumed. Returns the name of the temporary table that takes its place.
    """
    source = add_entity_features(connection, spec, rows)
    for number, (keys, features) in enumerate(history_by_keys(spec).items()):
        target = f"rows_with_history_{number}"
        connection.execute(
            render_sql(
                paths.common_sql / "history.sql",
                source=source,
                target=target,
                keys=keys,
                user_keys=[key for key in keys if key in spec.features.users.categorical],
                item_keys=[key for key in keys if key in spec.features.items.categorical],
                labels=list(dict.fromkeys(feature.label for feature in features)),
                windows=sorted({feature.within_days for feature in features if feature.within_days}),
                features=features,
            )
        )
        source = target
    return source


def add_entity_features(connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, rows: str) -> str:
    users, items = spec.features.users, spec.features.items
    user_columns = quote_identifiers([*users.categorical, *users.numeric])
    item_columns = quote_identifiers([*items.categorical, *items.numeric])
    target = "rows_with_entities"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {target} AS SELECT * FROM {rows} "
        f"JOIN (SELECT {', '.join(filter(None, ['user_id', user_columns]))} FROM users) USING (user_id) "
        f"JOIN (SELECT {', '.join(filter(None, ['item_id', item_columns]))} FROM items) USING (item_id)"
    )
    connection.execute(f"DROP TABLE {rows}")
    return target


def history_by_keys(spec: PipelineSpec) -> dict[tuple[str, ...], list[HistoryFeature]]:
    """History features that share their keys, so that each key is scanned once."""
    groups: dict[tuple[str, ...], list[HistoryFeature]] = {}
    for feature in spec.features.history:
        groups.setdefault(tuple(feature.by), []).append(feature)
    return groups


def numeric_features(spec: PipelineSpec) -> list[tuple[str, str]]:
    """Numeric features in model order, each with the transform that precedes standardisation."""
    plain = [*spec.features.users.numeric, *spec.features.items.numeric]
    history = [
        (feature.name, "log1p" if feature.statistic == "count" else "identity")
        for feature in spec.features.history
    ]
    return [(name, "identity") for name in plain] + history


def categorical_features(spec: PipelineSpec) -> list[str]:
    """Categorical features in model order, without the ids."""
    return [*spec.features.users.categorical, *spec.features.items.categorical]
