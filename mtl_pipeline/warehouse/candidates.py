"""Candidates for recommendation: every user with every item that they may be shown, with features as of now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.connection import fetch_one, open_warehouse
from mtl_pipeline.warehouse.features import add_features, entity_ids
from mtl_pipeline.warehouse.sql import render_sql

ROWS_AT_ONCE = 500_000


@contextmanager
def build_candidates(paths: PipelinePaths, spec: PipelineSpec) -> Iterator[Iterator[pl.DataFrame]]:
    """Yield the candidates of a few users at a time: user_id, item_id and raw features.

    "Now" is one second after the last interaction. All candidates of a user are in one frame, and a
    frame has about ROWS_AT_ONCE rows, or one user's where the catalogue is larger.
    """
    with open_warehouse(paths.warehouse, read_only=True, settings=spec.warehouse) as connection:
        relations = {table: entity_ids(spec, table) for table in ("users", "items")}
        users, items = fetch_one(
            connection,
            f"SELECT (SELECT count(*) FROM {relations['users']}), (SELECT count(*) FROM {relations['items']})",
        )
        users_at_once = max(1, ROWS_AT_ONCE // max(1, items))

        def frames() -> Iterator[pl.DataFrame]:
            for first in range(0, users, users_at_once):
                connection.execute(
                    render_sql(
                        paths.common_sql / "candidates.sql",
                        first=first,
                        users_at_once=users_at_once,
                        timed=spec.timed,
                        context=spec.context_features,
                        exclude=spec.recommendations.exclude,
                        root_label=spec.root_task.column,
                        available_from=spec.available_from,
                        newest_days=spec.recommendations.newest_days,
                        **relations,
                    )
                )
                table = add_features(connection, paths, spec, "candidates")
                yield connection.sql(
                    f"SELECT * EXCLUDE (timestamp) FROM {table} ORDER BY user_id, item_id"
                ).pl()

        yield frames()
