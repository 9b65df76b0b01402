"""Point-in-time features for any set of (user, item, time) rows, in SQL."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import COMMON_SQL
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.connection import column_types
from mtl_pipeline.warehouse.features.history import STATISTICS, History, TallyGroup, plan_history
from mtl_pipeline.warehouse.features.label_times import label_steps
from mtl_pipeline.warehouse.templates import quote_identifiers, render_sql

WHOLE_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")


def add_features(
    connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, rows: str, *, is_log: bool = False
) -> str:
    """Join user, item and history features to a temporary table with user_id, item_id and timestamp.

    `is_log`: the rows that are not `sampled` are the interactions, all of them, with their labels. The table is
    consumed. Returns the name of the temporary table that takes its place. Raises UserError for a history feature with
    two lists among its keys.
    """
    source = add_entity_features(connection, spec, rows)
    if not spec.features.history:
        return source
    history = declared_history(connection, spec, now="timestamp")
    source = add_tallies(connection, spec, history.plain_groups(), source, is_log=is_log)
    tallies = [name for group in history.plain_groups() for name in group.tallies]
    by_value: dict[str, str] = {}
    for column in history.lists:
        groups = history.list_groups(column)
        needed = {name for group in groups for name in (*group.keys, *group.numbers)} - {column}
        connection.execute(
            render_sql(
                COMMON_SQL / "history_lists.sql",
                source=source,
                list=column,
                columns=[*sorted(needed), *tallies, *(["sampled", *spec.labels] if is_log else [])],
            )
        )
        by_value[column] = add_tallies(connection, spec, groups, "rows_by_value", column, is_log=is_log)
    target = "rows_with_history"
    connection.execute(
        render_sql(
            COMMON_SQL / "history_features.sql",
            source=source,
            target=target,
            tallies=tallies,
            features=[feature.name for feature in spec.features.history],
            expressions=history.expressions,
            of_lists=history.of_lists,
            by_value=by_value,
        )
    )
    return target


def add_tallies(
    connection: duckdb.DuckDBPyConnection,
    spec: PipelineSpec,
    groups: Sequence[TallyGroup],
    source: str,
    list_column: str | None = None,
    *,
    is_log: bool,
) -> str:
    """`source` is consumed; returns what takes its place."""
    steps = label_steps(connection, spec)
    in_windows = [group for group in groups if is_log and group.keys and not set(group.labels) & set(steps)]
    if in_windows:
        target = "rows_with_windows"
        periods = [(group.keys, days) for group in in_windows for days in group.periods]
        types = column_types(connection, source)
        connection.execute(
            render_sql(
                COMMON_SQL / "history_windows.sql",
                source=source,
                target=target,
                groups=in_windows,
                windows={period: f"history_{number}" for number, period in enumerate(periods)},
                whole_numbers=[label for label in spec.labels if types[label] in WHOLE_NUMBERS],
            )
        )
        source = target
    for group in groups:
        if group not in in_windows:
            target = f"rows_with_tallies_{group.number}"
            connection.execute(
                render_sql(
                    COMMON_SQL / "history.sql",
                    source=source,
                    target=target,
                    **log_of(spec, group, steps, list_column),
                )
            )
            source = target
    return source


def summarise_history(connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, now: str) -> History:
    """Make the temporary table of each group of tallies: its keys, and what is known of them now.

    `now`: an SQL expression of a constant time.
    """
    steps = label_steps(connection, spec)
    history = declared_history(connection, spec, now)
    for group in history.groups:
        (list_column,) = set(group.keys) & set(history.lists) or (None,)
        connection.execute(
            render_sql(
                COMMON_SQL / "latest_history.sql",
                now=now,
                **log_of(spec, group, steps, list_column),
            )
        )
    return history


def declared_history(connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, now: str) -> History:
    lists = [
        name
        for table in spec.entities
        for name, type_ in column_types(connection, table).items()
        if type_.endswith("[]")
    ]
    for feature in spec.features.history:
        if len(several := [column for column in feature.by if column in lists]) > 1:
            raise UserError(
                f"history in defs.yaml: by names {' and '.join(several)}, which are lists; it may name one list"
            )
    return plan_history(spec.features.history, lists, now)


def log_of(spec: PipelineSpec, group: TallyGroup, steps: dict[str, str], list_column: str | None) -> dict:
    """What history_log.sql, and the SQL around it, needs of a group."""
    return {
        "group": group,
        "list": list_column,
        "labels_with_steps": {label: steps[label] for label in group.labels if label in steps},
        "other_labels": [label for label in group.labels if label not in steps],
        "entities": " ".join(
            f"JOIN (SELECT {quote_identifiers([f'{name}_id', *columns])} FROM {name}s) USING ({name}_id)"
            for name, features in (("user", spec.features.users), ("item", spec.features.items))
            if (
                columns := [
                    *(key for key in group.keys if key in features.categorical),
                    *(number for number in group.numbers if number in features.numeric),
                ]
            )
        ),
    }


def add_entity_features(connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, rows: str) -> str:
    target = "rows_with_entities"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {target} AS SELECT * FROM {rows} {entity_joins(spec)}")
    connection.execute(f"DROP TABLE {rows}")
    return target


def entity_joins(spec: PipelineSpec) -> str:
    """Joins that add the features of users and items to rows with their ids."""
    joins = []
    for table in spec.entities:
        key = f"{table.removesuffix('s')}_id"
        columns = quote_identifiers([key, *entity_features(spec, table)])
        joins.append(f"JOIN (SELECT {columns} FROM {table}) USING ({key})")
    return " ".join(joins)


def entity_features(spec: PipelineSpec, table: str) -> list[str]:
    features = getattr(spec.features, table)
    return [*features.categorical, *features.numeric]


def entity_ids(spec: PipelineSpec, table: str) -> str:
    """The relation that holds every user_id or item_id: the table, or what the interactions name."""
    if table in spec.entities:
        return table
    return f"(SELECT DISTINCT {table.removesuffix('s')}_id FROM interactions)"


def numeric_features(spec: PipelineSpec) -> list[tuple[str, str]]:
    """Numeric features in model order, each with the transform that precedes standardisation."""
    features = spec.features
    plain = [*features.users.numeric, *features.items.numeric, *features.interactions.numeric]
    history = [(feature.name, STATISTICS[feature.statistic].transform) for feature in spec.features.history]
    return [(name, "identity") for name in plain] + history
