"""Candidates know what an interaction at the same moment would know, though the log is summed up only once."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.connection import open_warehouse
from mtl_pipeline.warehouse.features import candidates
from mtl_pipeline.warehouse.features.candidates import build_candidates
from mtl_pipeline.warehouse.features.point_in_time import add_features
from mtl_pipeline_tests.warehouse.pairs import rows_of

DECLARED: dict = {
    "raw": {"users": None},
    "tasks": [{"name": "rating", "kind": "regression"}],
    "features": {
        "items": {"categorical": ["kind", "tags"], "numeric": ["price"]},
        "history": [
            {"by": by, "statistic": statistic, "label": "rating", "within_days": days}
            for by in (["user_id"], ["item_id"], ["kind"], ["user_id", "tags"])
            for statistic in ("count", "mean", "standard_deviation")
            for days in (None, 3)
        ]
        + [
            {"by": by, "statistic": statistic, "label": "rating"} | more
            for by in (["user_id", "kind"], ["user_id", "tags"])
            for statistic, more in (
                ("lift", {}),
                ("relative_mean", {}),
                ("days_since", {}),
                ("gap", {"of": "price"}),
            )
        ],
    },
    "recommendations": {"exclude": "nothing"},
}
SPEC = PipelineSpec.model_validate(DECLARED)
EVENTS = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.integers(1, 4),
        st.integers(0, 9),
        st.one_of(st.none(), st.integers(-1, 5)),
        st.one_of(st.none(), st.integers(0, 9)),
    ),
    min_size=1,
    max_size=15,
)


def write_warehouse(
    root: Path, events: list[tuple], *, type_: str = "INTEGER", has_known_at: bool = False
) -> PipelinePaths:
    """`events`: user, item, day, rating, days until the rating was known. Items are of kinds, one of none, and nobody
    meets the fifth."""
    paths = PipelinePaths(root, "shop")
    with open_warehouse(paths.warehouse) as connection:
        connection.execute(
            "CREATE TABLE items AS FROM (VALUES (1, 'x', 1, ['a', 'b']), (2, 'x', 2, ['b']), (3, 'y', 3, []), "
            "(4, NULL, 4, NULL), (5, 'z', 5, ['c', 'a'])) AS t(item_id, kind, price, tags)"
        )
        connection.execute(
            "CREATE TABLE interactions (user_id INTEGER, item_id INTEGER, timestamp TIMESTAMP, "
            f"rating {type_}, known_at TIMESTAMP)"
        )
        for user, item, day, rating, delay in events:
            connection.execute(
                "INSERT INTO interactions SELECT $user, $item, $start + to_days($day), $rating, "
                "$start + to_days($day) + to_days($delay)",
                {
                    "user": user,
                    "item": item,
                    "start": date(2020, 1, 1),
                    "day": day,
                    "rating": rating,
                    "delay": delay,
                },
            )
        if not has_known_at:
            connection.execute("ALTER TABLE interactions DROP known_at")
    return paths


@settings(max_examples=10, deadline=None)
@given(
    events=EVENTS,
    type_=st.sampled_from(["INTEGER", "DOUBLE", "DECIMAL(4, 1)", "BOOLEAN"]),
    has_known_at=st.booleans(),
)
def test_features_of_candidates_are_those_of_rows_at_the_same_moment(
    tmp_path_factory, events: list[tuple], type_: str, has_known_at: bool
) -> None:
    root = tmp_path_factory.mktemp("root")
    paths = write_warehouse(root, events, type_=type_, has_known_at=has_known_at)
    with build_candidates(paths, SPEC) as frames:
        (found,) = rows_of(frames)
    with open_warehouse(paths.warehouse) as connection:
        connection.execute(
            "CREATE TEMP TABLE moments AS SELECT user_id, item_id, now AS timestamp "
            "FROM (SELECT DISTINCT user_id FROM interactions), (SELECT item_id FROM items), "
            "(SELECT max(timestamp) + INTERVAL 1 SECOND AS now FROM interactions)"
        )
        table = add_features(connection, SPEC, "moments")
        expected = connection.sql(f"SELECT * EXCLUDE (timestamp) FROM {table} ORDER BY user_id, item_id").pl()
    assert set(found.columns) == set(expected.columns)
    assert found.equals(expected.select(found.columns))


def test_windows_begin_to_the_second_and_labels_count_once_they_are_known(tmp_path: Path) -> None:
    """Now is 10 January, 00:00:01: a window of 3 days begins on the 7th, one second past midnight."""
    events = [(1, 1, 9, 1, 0), (1, 1, 6, 1, 0), (1, 1, 7, 1, 0), (1, 1, 8, 4, 2)]
    paths = write_warehouse(tmp_path, events, has_known_at=True)
    with build_candidates(paths, SPEC) as frames:
        (found,) = rows_of(frames)
    met, *_, unmet = found.iter_rows(named=True)
    assert (met["user_rating_count"], met["user_rating_count_3_days"]) == (3, 2)
    assert met["item_rating_mean"] == 1.0
    assert unmet["item_rating_count"] == 0
    assert unmet["item_rating_mean"] is None


def test_no_user_is_split_between_frames_and_none_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "PAIRS_AT_ONCE", 11)
    chosen = SPEC.model_copy(
        update={"recommendations": SPEC.recommendations.model_copy(update={"exclude": "chosen"})}
    )
    paths = write_warehouse(tmp_path, [(user, 2, 0, user % 2, 0) for user in range(1, 6)])
    with build_candidates(paths, chosen) as frames:
        parts = rows_of(frames)
    assert [part["user_id"].unique().sort().to_list() for part in parts] == [[1, 2], [3, 4], [5]]
    assert pl.concat(parts).group_by("user_id").len().sort("user_id")["len"].to_list() == [4, 5, 4, 5, 4]


def test_reading_candidates_leaves_the_warehouse_as_it_was(tmp_path: Path) -> None:
    paths = write_warehouse(tmp_path, [(1, 1, 0, 1, 0)])
    before = paths.warehouse.read_bytes()
    with build_candidates(paths, SPEC) as frames:
        assert sum(map(len, rows_of(frames))) == 5
    assert paths.warehouse.read_bytes() == before
    with duckdb.connect(str(paths.warehouse)) as connection:
        tables = connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY ALL").fetchall()
    assert tables == [("interactions",), ("items",)]
