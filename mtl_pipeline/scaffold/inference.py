"""From CSV files to the plan of a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.scaffold.entities import plan_entity
from mtl_pipeline.scaffold.interactions import Roles, plan_interactions
from mtl_pipeline.scaffold.keys import find_id, find_interaction_key, find_shared_key, find_time
from mtl_pipeline.scaffold.plan import PipelinePlan
from mtl_pipeline.scaffold.profile import Column, Profile, profile_file
from mtl_pipeline.warehouse.connection import create_macros

IDS = {"users": "user_id", "items": "item_id"}
"""The role of each other table's key."""


def infer_plan(paths: PipelinePaths, files: Mapping[str, Path], named: Mapping[str, str]) -> PipelinePlan:
    """Read the files and propose a pipeline.

    `files` by table; `named` are columns of interactions that the user named, by `user_id`, `item_id` and
    `timestamp`. Raises UserError where a file cannot be read or shares no key with the interactions.
    """
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        create_macros(connection)
        profiles = {table: profile_file(connection, paths, table, path) for table, path in files.items()}
        if empty := [profile for profile in profiles.values() if not profile.rows]:
            raise UserError(f"{empty[0].path} has no rows below its header: nothing can be told from it")
        interactions = profiles["interactions"]
        roles, keys = find_roles(connection, profiles, named)
        plan, labels = plan_interactions(connection, interactions, roles)
        tables = {}
        taken = {task.name for task in labels.tasks} | plan.names
        for table, role in IDS.items():
            if table in profiles:
                tables[table] = plan_entity(profiles[table], keys[role], taken, whole=role in roles.whole)
                taken |= tables[table].names - {"text"}
        return PipelinePlan(
            name=paths.pipeline,
            tables={**tables, "interactions": plan},
            ids=list(roles.ids),
            key=list(roles.ids)
            if labels.merged
            else find_interaction_key(connection, interactions, roles.ids, roles.time),
            timed=roles.time is not None,
            labels=labels,
        )


def find_roles(
    connection: duckdb.DuckDBPyConnection, profiles: Mapping[str, Profile], named: Mapping[str, str]
) -> tuple[Roles, dict[str, Column]]:
    """The roles of the columns of interactions, and the keys of the other tables by role."""
    interactions = profiles["interactions"]
    chosen = {role: named_column(interactions, column) for role, column in named.items()}
    ids: dict[str, Column] = {}
    keys: dict[str, Column] = {}
    # What the values of a table prove goes before what a name suggests.
    for table, role in sorted(IDS.items(), key=lambda pair: pair[0] not in profiles):
        free = without(interactions, *chosen.values(), *ids.values())
        if table in profiles:
            candidates = [chosen[role]] if role in chosen else free
            ids[role], keys[role] = find_shared_key(connection, interactions, profiles[table], candidates)
        elif column := chosen.get(role) or find_id(free, table):
            ids[role] = column
    ids = {role: ids[role] for role in IDS.values() if role in ids}
    time = chosen.get("timestamp") or find_time(without(interactions, *ids.values()))
    whole = frozenset(role for role, column in ids.items() if column.whole and keys.get(role, column).whole)
    return Roles(ids, whole, time), keys


def without(profile: Profile, *taken: Column) -> list[Column]:
    return [column for column in profile.columns.values() if column not in taken]


def named_column(profile: Profile, name: str) -> Column:
    if name not in profile.columns:
        raise UserError(f"{profile.path} has no column {name}; its columns are: {', '.join(profile.columns)}")
    return profile.columns[name]
