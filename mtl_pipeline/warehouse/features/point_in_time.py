"""Point-in-time features for any set of (user, item, time) rows, in SQL."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from mtl_pipeline.errors import UserError
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.connection import column_types, run_sql
from mtl_pipeline.warehouse.features.history import STATISTICS, History, TallyGroup, plan_history
from mtl_pipeline.warehouse.features.label_times import label_steps
from mtl_pipeline.warehouse.templates import quote_identifiers

WHOLE_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")


def add_features(
    connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, rows: str, *, is_log: bool = False
) -> str:
    """Join user, item and history features to a temporary table with user_id, item_id and timestamp.

    `is_log`: the rows that are not `sampled` are the interactions, all of them, with their labels. Drops the table and
    returns the name of the temporary table that replaces it. Raises UserError for a history feature with two lists
    among its keys.
    """
    source = "rows_with_entities"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {source} AS SELECT * FROM {rows} {entity_joins(spec, *spec.entities)}"
    )
    connection.execute(f"DROP TABLE {rows}")
    if not spec.features.history:
        return source
    history = declared_history(connection, spec, now="timestamp")
    source = add_tallies(connection, spec, history.plain_groups(), source, is_log=is_log)
    tallies = [name for group in history.plain_groups() for name in group.tallies]
    by_value: dict[str, str] = {}
    for column in history.lists:
        groups = history.list_groups(column)
        needed = sorted({name for group in groups for name in (*group.keys, *group.numbers)} - {column})
        of_log = ["sampled", *spec.labels] if is_log else []
        run_sql(
            connection,
            "history_lists.sql",
            source=source,
            list=column,
            columns=[*needed, *tallies, *of_log],
        )
        by_value[column] = add_tallies(connection, spec, groups, "rows_by_value", column, is_log=is_log)
    run_sql(
        connection,
        "history_features.sql",
        spec=spec,
        source=source,
        history=history,
        tallies=tallies,
        by_value=by_value,
    )
    return "rows_with_history"


def add_tallies(
    connection: duckdb.DuckDBPyConnection,
    spec: PipelineSpec,
    groups: Sequence[TallyGroup],
    source: str,
    list_column: str | None = None,
    *,
    is_log: bool,
) -> str:
    """Drops the table `source` and returns the name of the one that replaces it."""
    steps = label_steps(connection, spec)
    in_windows = [group for group in groups if is_log and group.keys and not set(group.labels) & set(steps)]
    if in_windows:
        target = f"rows_with_windows_{in_windows[0].number}"
        types = column_types(connection, source)
        whole_numbers = [label for label in spec.labels if types[label] in WHOLE_NUMBERS]
        run_sql(
            connection,
            "history_windows.sql",
            source=source,
            target=target,
            groups=in_windows,
            whole_numbers=whole_numbers,
        )
        source = target
    for group in groups:
        if group not in in_windows:
            target = f"rows_with_tallies_{group.number}"
            log = history_log(spec, group, steps, list_column)
            run_sql(connection, "history.sql", source=source, target=target, **log)
            source = target
    return source


def summarise_history(connection: duckdb.DuckDBPyConnection, spec: PipelineSpec) -> History:
    """Make the temporary table of each group of tallies: its keys, and what is known of them at the time of the SQL
    variable `now`."""
    steps = label_steps(connection, spec)
    history = declared_history(connection, spec, now="getvariable('now')")
    for group in history.groups:
        (list_column,) = set(group.keys) & set(history.lists) or (None,)
        run_sql(connection, "latest_history.sql", **history_log(spec, group, steps, list_column))
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


def history_log(
    spec: PipelineSpec, group: TallyGroup, steps: dict[str, str], list_column: str | None
) -> dict:
    """What history_log.sql, and the SQL around it, needs to know about a group."""
    needed = {
        table: [
            *(key for key in group.keys if key in getattr(spec.features, table).categorical),
            *(number for number in group.numbers if number in getattr(spec.features, table).numeric),
        ]
        for table in ("users", "items")
    }
    return {
        "group": group,
        "list": list_column,
        "labels_with_steps": {label: steps[label] for label in group.labels if label in steps},
        "other_labels": [label for label in group.labels if label not in steps],
        "entities": " ".join(join_columns(table, columns) for table, columns in needed.items() if columns),
    }


def entity_joins(spec: PipelineSpec, *tables: str) -> str:
    """Joins that add the features of users, of items, to rows with their ids, where the pipeline has these tables."""
    return " ".join(
        join_columns(table, entity_features(spec, table)) for table in tables if table in spec.entities
    )


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


def numeric_features(spec: PipelineSpec) -> list[tuple[str, str]]:
    """Numeric features in model order, each with the transform that precedes standardisation."""
    features = spec.features
    plain = [*features.users.numeric, *features.items.numeric, *features.interactions.numeric]
    history = [(feature.name, STATISTICS[feature.statistic].transform) for feature in spec.features.history]
    sequence = [(name, "identity") for name in spec.sequence_features]
    return [(name, "identity") for name in plain] + history + sequence
