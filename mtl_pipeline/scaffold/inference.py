"""From raw files to the plan of a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import duckdb

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.scaffold.entities import plan_entity
from mtl_pipeline.scaffold.interactions import LABEL_WORDS, RATING_WORDS, Roles, plan_interactions
from mtl_pipeline.scaffold.keys import columns_of, find_id, find_interaction_key, find_shared_key, find_time
from mtl_pipeline.scaffold.plan import PipelinePlan, TablePlan
from mtl_pipeline.scaffold.profile import Column, Profile, profile_table
from mtl_pipeline.spec import RawFiles
from mtl_pipeline.warehouse.connection import create_macros

IDS = {"users": "user_id", "items": "item_id"}
"""The role of each other table's key."""


def infer_plan(
    paths: PipelinePaths, raw: RawFiles, section: Mapping[str, object], named: Mapping[str, str]
) -> PipelinePlan:
    """Read the files and propose a pipeline.

    `raw` says where the files are, `section` how defs.yaml calls them; `named` are columns of interactions that the
    user named, by `user_id`, `item_id` and `timestamp`. Users and items without a file come from the log, where it has
    columns of theirs. Raises UserError where a file cannot be read or shares no key with the interactions.
    """
    given = [table for table in (*IDS, "interactions") if getattr(raw, table)]
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        create_macros(connection)
        profiles = {table: profile_table(connection, paths, raw, table) for table in given}
        log = profiles["interactions"]
        roles, keys = find_roles(connection, profiles, named)
        derived, rest = {}, without(log, *roles.ids.values(), roles.time)
        for table, role in IDS.items():
            if table not in profiles and (key := roles.ids.get(role)):
                own = [column for column in rest if not column.sounds([*LABEL_WORDS, *RATING_WORDS])]
                if columns := columns_of(connection, key, own):
                    derived[table], keys[role] = section["interactions"], key
                    profiles[table] = replace(log, table=table, columns={key.name: key, **columns})
                    rest = [column for column in rest if column.name not in columns]
        plan = TablePlan(log)
        labels = plan_interactions(connection, plan, roles, rest)
        tables, taken = {}, {task.name for task in labels.tasks} | plan.selected.keys()
        for table, role in IDS.items():
            if table in profiles:
                tables[table] = plan_entity(profiles[table], keys[role], taken, whole=role in roles.whole)
                if table in derived and table == "items" and roles.time:
                    tables[table].select_time(roles.time, "first_seen", optional=False)
                    tables[table].times.insert(0, "first_seen")
                taken |= tables[table].selected.keys() - {"text"}
        return PipelinePlan(
            name=paths.pipeline,
            raw={**section, **derived, **({"derived": list(derived)} if derived else {})},
            tables={**tables, "interactions": plan},
            ids={role: column.name for role, column in roles.ids.items()},
            key=[*roles.ids]
            if labels.merged
            else find_interaction_key(connection, log, roles.ids, roles.time),
            time=roles.time,
            labels=labels,
        )


def find_roles(
    connection: duckdb.DuckDBPyConnection, profiles: Mapping[str, Profile], named: Mapping[str, str]
) -> tuple[Roles, dict[str, Column]]:
    """The roles of the columns of interactions, and the keys of the other tables by role."""
    log = profiles["interactions"]
    if unknown := set(named.values()) - log.columns.keys():
        known = ", ".join(log.columns)
        raise UserError(f"{log.path} has no column {', '.join(unknown)}; its columns are: {known}")
    chosen = {role: log.columns[column] for role, column in named.items()}
    ids: dict[str, Column] = {}
    keys: dict[str, Column] = {}
    # What the values of a table prove goes before what a name suggests.
    for table, role in sorted(IDS.items(), key=lambda pair: pair[0] not in profiles):
        free = without(log, *chosen.values(), *ids.values())
        if table in profiles:
            candidates = [chosen[role]] if role in chosen else free
            ids[role], keys[role] = find_shared_key(connection, log, profiles[table], candidates)
        elif column := chosen.get(role) or find_id(free, table):
            ids[role] = column
    ids = {role: ids[role] for role in IDS.values() if role in ids}
    time = chosen.get("timestamp") or find_time(without(log, *ids.values()))
    if time and not time.time_formats:
        raise UserError(f"{log.path}: {time.name} holds no times that can be read")
    whole = frozenset(role for role, column in ids.items() if column.whole and keys.get(role, column).whole)
    return Roles(ids, whole, time), keys


def without(profile: Profile, *taken: Column | None) -> list[Column]:
    return [column for column in profile.columns.values() if column not in taken]
