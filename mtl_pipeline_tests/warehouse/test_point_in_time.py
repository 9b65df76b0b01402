"""Features of a row know only what happened strictly before it."""

from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.connection import open_warehouse
from mtl_pipeline.warehouse.features.point_in_time import add_features
from mtl_pipeline_tests.conftest import REPOSITORY, TinyPipeline

EVENTS = st.lists(
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(0, 60), st.integers(1, 5)), max_size=12
)


def history(events: list[tuple[int, int, int, int]], directory: Path) -> pl.DataFrame:
    """History features of every pair on day 30."""
    spec = TinyPipeline(REPOSITORY).spec
    with open_warehouse(directory / "w.duckdb") as connection:
        connection.execute(
            "CREATE OR REPLACE TABLE users AS SELECT i AS user_id, 'F' AS gender, 'x' AS occupation, "
            "'1' AS zip_region, 30 AS age FROM range(1, 4) AS t(i)"
        )
        connection.execute(
            "CREATE OR REPLACE TABLE items AS SELECT i AS item_id, ['a'] AS genres, 1990 AS release_year "
            "FROM range(1, 4) AS t(i)"
        )
        connection.execute(
            "CREATE OR REPLACE TABLE interactions (user_id INTEGER, item_id INTEGER, timestamp TIMESTAMP, "
            "watched INTEGER, liked INTEGER, rating INTEGER)"
        )
        for user, item, day, rating in events:
            connection.execute(
                "INSERT INTO interactions VALUES (?, ?, TIMESTAMP '2020-01-01' + to_days(?), 1, ?, ?)",
                [user, item, day, int(rating >= 4), rating],
            )
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE moments AS SELECT user_id, item_id, "
            "TIMESTAMP '2020-01-31' AS timestamp FROM users, items"
        )
        table = add_features(connection, spec, "moments")
        return connection.sql(f"SELECT * FROM {table} ORDER BY user_id, item_id").pl()


@settings(max_examples=10, deadline=None)
@given(earlier=EVENTS, later=EVENTS)
def test_later_events_change_no_feature(
    tmp_path_factory, earlier: list[tuple[int, int, int, int]], later: list[tuple[int, int, int, int]]
) -> None:
    directory = tmp_path_factory.mktemp("warehouse")
    past = [(user, item, day % 30, rating) for user, item, day, rating in earlier]
    future = [(user, item, 30 + day % 30, rating) for user, item, day, rating in later]
    assert history(past, directory).equals(history(past + future, directory))


def test_windows_and_means_by_hand(tmp_path: Path) -> None:
    row = history([(1, 1, 29, 4), (2, 1, 10, 1), (2, 2, 0, 5), (1, 1, 30, 5)], tmp_path).row(0, named=True)
    assert row["user_watched_count"] == 1
    assert row["item_watched_count"] == 2
    assert row["item_rating_mean"] == 2.5
    assert row["item_liked_mean"] == 0.5


def test_labels_count_from_the_time_they_were_known(tmp_path: Path) -> None:
    """A purchase of day 2 that was confirmed on day 40 is history on day 41, not on day 30."""
    with open_warehouse(tmp_path / "w.duckdb") as connection:
        connection.execute(
            "CREATE TABLE interactions AS SELECT 1 AS user_id, 1 AS item_id, 1 AS buy, "
            "TIMESTAMP '2020-01-02' AS timestamp, TIMESTAMP '2020-02-09' AS known_at"
        )
        connection.execute(
            "CREATE TEMP TABLE moments AS SELECT 1 AS user_id, 1 AS item_id, unnest([TIMESTAMP "
            "'2020-01-30', '2020-02-10']) AS timestamp"
        )
        spec = PipelineSpec.model_validate(
            {
                "raw": {"users": None, "items": None},
                "tasks": [{"name": "buy", "kind": "binary"}],
                "features": {"history": [{"by": ["user_id"], "statistic": "count", "label": "buy"}]},
            }
        )
        table = add_features(connection, spec, "moments")
        counts = connection.sql(f"SELECT user_buy_count FROM {table} ORDER BY timestamp").fetchall()
    assert counts == [(0.0,), (1.0,)]


@settings(max_examples=15, deadline=None)
@given(
    events=st.lists(
        st.tuples(
            st.integers(1, 2),
            st.integers(1, 4),
            st.integers(0, 9),
            st.one_of(st.none(), st.integers(1, 5)),
            st.booleans(),
        ),
        max_size=15,
    ),
    type_=st.sampled_from(["INTEGER", "TINYINT", "DOUBLE", "DECIMAL(4, 1)", "BOOLEAN"]),
)
def test_windows_over_the_log_agree_with_joins_to_it(
    tmp_path_factory, events: list[tuple[int, int, int, int | None, bool]], type_: str
) -> None:
    """User, item, day, rating, and whether the row is a sampled negative. Items are of kinds, one of none."""
    declared = {
        "raw": {"users": None},
        "tasks": [{"name": "rating", "kind": "regression"}],
        "features": {
            "items": {"categorical": ["kind"]},
            "history": [
                {"by": by, "statistic": statistic, "label": "rating", "within_days": days}
                for by in (["kind"], ["item_id"], ["user_id", "kind"])
                for statistic in ("count", "mean")
                for days in (None, 3)
            ],
        },
    }
    spec = PipelineSpec.model_validate(declared)
    with open_warehouse(tmp_path_factory.mktemp("warehouse") / "w.duckdb") as connection:
        connection.execute(
            "CREATE TEMP TABLE impressions (number INTEGER, user_id INTEGER, item_id INTEGER, "
            f"timestamp TIMESTAMP, rating {type_}, sampled BOOLEAN)"
        )
        for number, (user, item, day, rating, sampled) in enumerate(events):
            connection.execute(
                "INSERT INTO impressions VALUES (?, ?, ?, TIMESTAMP '2020-01-01' + to_days(?), ?, ?)",
                [number, user, item, day, rating, sampled],
            )
        connection.execute("CREATE TABLE interactions AS FROM impressions WHERE NOT sampled")
        connection.execute(
            "CREATE TABLE items AS FROM (VALUES (1, 'x'), (2, 'x'), (3, 'y'), (4, NULL)) AS t(item_id, kind)"
        )
        connection.execute("CREATE TEMP TABLE moments AS FROM impressions")
        joined, windowed = (
            connection.sql(f"SELECT * FROM {table} ORDER BY number").pl()
            for table in (
                add_features(connection, spec, "moments"),
                add_features(connection, spec, "impressions", is_log=True),
            )
        )
    assert joined.equals(windowed)
