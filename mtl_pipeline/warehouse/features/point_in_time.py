"""Point-in-time features for any set of (user, item, time) rows, in SQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb

from mtl_pipeline.spec import HistoryFeature, PipelineSpec
from mtl_pipeline.warehouse.connection import column_types, run_sql
from mtl_pipeline.warehouse.features.label_times import label_steps
from mtl_pipeline.warehouse.templates import quote_identifiers

WHOLE_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")


@dataclass(frozen=True)
class HistoryGroup:
    """History features with the same keys, so that the log is read once for all of them."""

    number: int
    keys: tuple[str, ...]
    features: list[HistoryFeature]

    @property
    def table(self) -> str:
        """Name of the table of what is known now about the keys."""
        return f"latest_history_{self.number}"


def add_features(
    connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, rows: str, *, is_log: bool = False
) -> str:
    """Join user, item and history features to a temporary table with user_id, item_id and timestamp.

    `is_log`: the rows that are not `sampled` are the interactions, all of them, with their labels.
    Drops the table and returns the name of the temporary table that replaces it.
    """
    source = "rows_with_entities"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {source} AS SELECT * FROM {rows} {entity_joins(spec)}")
    connection.execute(f"DROP TABLE {rows}")
    steps = label_steps(connection, spec)
    features = spec.features.history
    if is_log and (of_rows := [feature for feature in features if feature.label not in steps]):
        types = column_types(connection, source)
        whole_numbers = [label for label in spec.labels if types[label] in WHOLE_NUMBERS]
        run_sql(connection, "log_history.sql", source=source, features=of_rows, whole_numbers=whole_numbers)
        source = "rows_with_history"
        features = [feature for feature in features if feature.label in steps]
    for group in history_groups(features):
        target = f"rows_with_history_{group.number}"
        run_sql(
            connection,
            "history.sql",
            source=source,
            target=target,
            **history_log(spec, group, steps),
        )
        source = target
    return source


def summarise_history(connection: duckdb.DuckDBPyConnection, spec: PipelineSpec) -> None:
    """Make the temporary table of each group of history features: its keys, and what is known of them at the time of
    the SQL variable `now`."""
    steps = label_steps(connection, spec)
    for group in history_groups(spec.features.history):
        run_sql(connection, "latest_history.sql", target=group.table, **history_log(spec, group, steps))


def history_log(spec: PipelineSpec, group: HistoryGroup, steps: dict[str, str]) -> dict:
    """What history_log.sql, and the SQL around it, needs to know about a group."""
    labels = list(dict.fromkeys(feature.label for feature in group.features))
    return {
        "keys": group.keys,
        "features": group.features,
        "labels_with_steps": {label: steps[label] for label in labels if label in steps},
        "other_labels": [label for label in labels if label not in steps],
        "entities": " ".join(
            join_columns(table, keys)
            for table in ("users", "items")
            if (keys := [key for key in group.keys if key in getattr(spec.features, table).categorical])
        ),
    }


def entity_joins(spec: PipelineSpec) -> str:
    """Joins that add the features of users and items to rows with their ids."""
    return " ".join(join_columns(table, entity_features(spec, table)) for table in spec.entities)


def join_columns(table: str, columns: list[str]) -> str:
    key = id_column(table)
    return f"JOIN (SELECT {quote_identifiers([key, *columns])} FROM {table}) USING ({key})"


def id_column(table: str) -> str:
    """user_id of users, item_id of items."""
    return f"{table.removesuffix('s')}_id"


def entity_features(spec: PipelineSpec, table: str) -> list[str]:
    features = getattr(spec.features, table)
    return [*features.categorical, *features.numeric]


def entity_ids(spec: PipelineSpec, table: str) -> str:
    """The relation that holds every user_id or item_id: the table, or what the interactions name."""
    if table in spec.entities:
        return table
    return f"(SELECT DISTINCT {id_column(table)} FROM interactions)"


def history_groups(features: list[HistoryFeature]) -> Iterator[HistoryGroup]:
    by_keys: dict[tuple[str, ...], list[HistoryFeature]] = {}
    for feature in features:
        by_keys.setdefault(tuple(feature.by), []).append(feature)
    for number, (keys, grouped) in enumerate(by_keys.items()):
        yield HistoryGroup(number, keys, grouped)


def numeric_features(spec: PipelineSpec) -> list[tuple[str, str]]:
    """Numeric features in model order, each with the transform that precedes standardisation."""
    features = spec.features
    plain = [*features.users.numeric, *features.items.numeric, *features.interactions.numeric]
    history = [
        (feature.name, "log1p" if feature.statistic == "count" else "identity")
        for feature in spec.features.history
    ]
    return [(name, "identity") for name in plain] + history
