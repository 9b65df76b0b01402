"""Candidates for recommendation: every user with every item that they may be shown, with features as of now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.connection import fetch_one, open_warehouse
from mtl_pipeline.warehouse.features import (
    entity_features,
    entity_ids,
    entity_joins,
    history_groups,
    summarise_history,
)
from mtl_pipeline.warehouse.label_times import label_steps
from mtl_pipeline.warehouse.sql import render_sql

ROWS_AT_ONCE = 500_000


@contextmanager
def build_candidates(paths: PipelinePaths, spec: PipelineSpec) -> Iterator[Iterator[pl.DataFrame]]:
    """Yield the candidates of a few users at a time: user_id, item_id and raw features.

    "Now" is one second after the last interaction, the same for all, so the log is summed up once, before the first
    frame. All candidates of a user are in one frame, and a frame has about ROWS_AT_ONCE rows, or one user's where
    the catalogue is larger.
    """
    with open_warehouse(paths.warehouse, read_only=True, settings=spec.warehouse) as connection:
        connection.execute(
            render_sql(
                paths.common_sql / "candidate_parts.sql",
                users=entity_ids(spec, "users"),
                items=entity_ids(spec, "items"),
                timed=spec.timed,
                available_from=spec.available_from,
                newest_days=spec.recommendations.newest_days,
            )
        )
        summarise_history(connection, paths, spec, now="getvariable('now')")
        candidates = render_sql(
            paths.common_sql / "candidates.sql",
            context=spec.context_features,
            exclude=spec.recommendations.exclude,
            root_label=spec.root_task.column,
            entity_features=[name for table in spec.entities for name in entity_features(spec, table)],
            entity_joins=entity_joins(spec),
            histories=list(history_groups(spec, label_steps(connection, spec))),
        )
        users, items = fetch_one(
            connection,
            "SELECT (SELECT count(*) FROM candidate_users), (SELECT count(*) FROM candidate_items)",
        )
        users_at_once = max(1, ROWS_AT_ONCE // max(1, items))

        def frames() -> Iterator[pl.DataFrame]:
            for first in range(0, users, users_at_once):
                places = {"first": first, "end": first + users_at_once}
                yield connection.sql(candidates, params=places).pl()

        yield frames()
