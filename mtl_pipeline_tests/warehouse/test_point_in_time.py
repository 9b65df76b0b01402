"""Features of a row know only what happened strictly before it."""

import itertools
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_pipeline.errors import UserError
from mtl_pipeline.spec import HistoryFeature, PipelineSpec
from mtl_pipeline.warehouse.connection import open_warehouse
from mtl_pipeline.warehouse.features.history import STATISTICS
from mtl_pipeline.warehouse.features.point_in_time import add_features
from mtl_pipeline_tests.conftest import declared_spec

EVENTS = st.lists(
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(0, 60), st.integers(1, 5)), max_size=12
)


def history(events: list[tuple[int, int, int, int]], directory: Path) -> pl.DataFrame:
    """History features of every pair on day 30."""
    spec = declared_spec()
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


@settings(max_examples=15, deadline=None)
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


def test_every_declared_statistic_has_its_sql() -> None:
    declared = HistoryFeature.model_json_schema()["properties"]["statistic"]["enum"]
    assert declared == list(STATISTICS)


def test_two_lists_among_the_keys_of_one_feature_are_refused(tmp_path: Path) -> None:
    feature = {"by": ["kinds", "tags"], "statistic": "count", "label": "rating"}
    features = {"items": {"categorical": ["kinds", "tags"]}, "history": [feature]}
    spec = PipelineSpec.model_validate(EVERY_STATISTIC | {"features": features})
    with open_warehouse(tmp_path / "w.duckdb") as connection:
        connection.execute("CREATE TABLE items AS SELECT 1 AS item_id, ['x'] AS kinds, ['y'] AS tags")
        connection.execute(
            "CREATE TABLE interactions AS SELECT 1 AS user_id, 1 AS item_id, 5 AS rating, now() AS timestamp"
        )
        connection.execute("CREATE TEMP TABLE moments AS FROM interactions")
        with pytest.raises(UserError, match="by names kinds and tags, which are lists; it may name one list"):
            add_features(connection, spec, "moments")


KINDS = {1: ["x"], 2: ["x", "y"], 3: ["y"], 4: None, 5: []}
PRICES = {1: 1.5, 2: 4.0, 3: None, 4: 2.0, 5: 9.0}
MAKERS = {1: "a", 2: "a", 3: "b", 4: None, 5: "b"}
EVERY_STATISTIC: dict = {
    "raw": {"users": None},
    "tasks": [{"name": "rating", "kind": "regression"}],
    "features": {
        "items": {"categorical": ["maker", "kinds"], "numeric": ["price"]},
        "history": [
            {"by": by, "statistic": statistic, "label": "rating", "within_days": days}
            for by in (["user_id"], ["maker"], ["kinds"], ["user_id", "kinds"])
            for statistic in ("count", "mean", "standard_deviation")
            for days in (None, 3)
        ]
        + [
            {"by": by, "statistic": statistic, "label": "rating", "within_days": days}
            for by in (["user_id", "maker"], ["user_id", "kinds"])
            for statistic in ("lift", "relative_mean")
            for days in (None, 3)
        ]
        + [
            {"by": by, "statistic": "gap", "label": "rating", "of": "price"}
            for by in (["user_id"], ["user_id", "kinds"])
        ]
        + [{"by": by, "statistic": "days_since", "label": "rating"} for by in (["user_id"], ["item_id"])],
    },
}


@pytest.mark.parametrize(
    "keys", [(["user_id"], ["user_id", "kinds"]), (["kinds"], ["tags"]), (["user_id"], ["kinds"], ["tags"])]
)
def test_lists_stand_beside_other_keys_and_other_lists(tmp_path: Path, keys: tuple[list[str], ...]) -> None:
    history = [{"by": by, "statistic": "mean", "label": "rating"} for by in keys]
    features = {"items": {"categorical": ["kinds", "tags"]}, "history": history}
    spec = PipelineSpec.model_validate(EVERY_STATISTIC | {"features": features})
    with open_warehouse(tmp_path / "w.duckdb") as connection:
        connection.execute(
            "CREATE TABLE items AS FROM (VALUES (1, ['x', 'y'], ['a']), (2, ['y'], ['a', 'b'])) "
            "AS t(item_id, kinds, tags)"
        )
        connection.execute(
            "CREATE TEMP TABLE impressions AS SELECT i % 3 AS user_id, 1 + i % 2 AS item_id, i % 5 + 1 AS rating, "
            "i % 4 = 3 AS sampled, TIMESTAMP '2020-01-01' + to_days(i::INTEGER) AS timestamp FROM range(20) AS t(i)"
        )
        connection.execute("CREATE TABLE interactions AS FROM impressions WHERE NOT sampled")
        connection.execute("CREATE TEMP TABLE moments AS SELECT * EXCLUDE (rating) FROM impressions")
        joined, windowed = (
            connection.sql(f"SELECT {names(spec)} FROM {table} ORDER BY timestamp").pl()
            for table in (
                add_features(connection, spec, "moments"),
                add_features(connection, spec, "impressions", is_log=True),
            )
        )
    assert joined.equals(windowed)
    assert all(joined[feature.name].is_not_null().any() for feature in spec.features.history)


def names(spec: PipelineSpec) -> str:
    return ", ".join(feature.name for feature in spec.features.history)


def values_of(key: str, user: int, item: int) -> list:
    """The values of a key in a row; none where it is missing."""
    value = {"user_id": user, "item_id": item, "maker": MAKERS[item], "kinds": KINDS[item]}[key]
    return [] if value is None else value if isinstance(value, list) else [value]


def by_definition(feature: HistoryFeature, log: list[tuple], user: int, item: int, day: int) -> float | None:
    """What the docstring of `statistic` says, one row of the log at a time."""

    def earlier(wanted: dict) -> list[tuple]:
        return [
            (other, when, rating)
            for who, other, when, rating in log
            if when < day
            and (feature.within_days is None or when >= day - feature.within_days)
            and all(value in values_of(key, who, other) for key, value in wanted.items())
        ]

    def mean(numbers: list) -> float | None:
        return sum(numbers) / len(numbers) if numbers else None

    def statistic(wanted: dict) -> float | None:
        rows = earlier(wanted)
        labels = [rating for _, _, rating in rows if rating is not None]
        positive = [(other, when) for other, when, rating in rows if rating is not None and rating > 0]
        own = {key: wanted[key] for key in feature.by[:1]}
        match feature.statistic:
            case "count":
                return len(positive)
            case "mean":
                return mean(labels)
            case "standard_deviation":
                return float(np.std(labels)) if labels else None
            case "days_since":
                return day - max(when for _, when in positive) if positive else None
            case "gap":
                prices = [PRICES[other] for other, _ in positive if PRICES[other] is not None]
                price, average = PRICES[item], mean(prices)
                return None if price is None or average is None else price - average
            case "relative_mean":
                average = mean([rating for _, _, rating in earlier(own) if rating is not None])
                return None if average is None else (sum(labels) - len(labels) * average) / (len(labels) + 3)
        positives = [
            sum(rating is not None and rating > 0 for _, _, rating in earlier(keys))
            for keys in (own, {key: wanted[key] for key in feature.by[1:]}, {})
        ]
        share = (positives[1] + 1) / (positives[2] + 20)
        return math.log((len(positive) + 5 * share) / (positives[0] + 5) / share)

    combinations = itertools.product(*(sorted(set(values_of(key, user, item))) for key in feature.by))
    values = [statistic(dict(zip(feature.by, values, strict=True))) for values in combinations]
    return mean([value for value in values if value is not None])


@settings(max_examples=15, deadline=None)
@given(
    events=st.lists(
        st.tuples(
            st.integers(1, 2),
            st.integers(1, 5),
            st.integers(0, 9),
            st.one_of(st.none(), st.integers(-1, 5)),
            st.booleans(),
        ),
        max_size=15,
    ),
    type_=st.sampled_from(["INTEGER", "TINYINT", "DOUBLE", "DECIMAL(4, 1)"]),
)
def test_every_statistic_is_what_its_definition_says(
    tmp_path_factory, events: list[tuple[int, int, int, int | None, bool]], type_: str
) -> None:
    """User, item, day, rating, whether the row is a sampled negative. By joins to the log, and by windows over it."""
    spec = PipelineSpec.model_validate(EVERY_STATISTIC)
    log = [event[:4] for event in events if not event[4]]
    with open_warehouse(tmp_path_factory.mktemp("warehouse") / "w.duckdb") as connection:
        connection.execute(
            "CREATE TABLE items (item_id INTEGER, maker VARCHAR, kinds VARCHAR[], price DOUBLE)"
        )
        for item in KINDS:
            connection.execute(
                "INSERT INTO items VALUES (?, ?, ?, ?)", [item, MAKERS[item], KINDS[item], PRICES[item]]
            )
        connection.execute(
            f"CREATE TEMP TABLE impressions (user_id INTEGER, item_id INTEGER, day INTEGER, rating {type_}, "
            "sampled BOOLEAN, timestamp TIMESTAMP)"
        )
        for event in events:
            connection.execute(
                "INSERT INTO impressions SELECT $1, $2, $3, $4, $5, TIMESTAMP '2020-01-01' + to_days($3)",
                event,
            )
        connection.execute("CREATE TABLE interactions AS FROM impressions WHERE NOT sampled")
        connection.execute("CREATE TEMP TABLE moments AS SELECT * EXCLUDE (rating) FROM impressions")
        joined, windowed = (
            connection.sql(f"FROM {table}").pl()
            for table in (
                add_features(connection, spec, "moments"),
                add_features(connection, spec, "impressions", is_log=True),
            )
        )
    assert len(joined) == len(windowed) == len(events)
    for row in (*joined.iter_rows(named=True), *windowed.iter_rows(named=True)):
        for feature in spec.features.history:
            expected = by_definition(feature, log, row["user_id"], row["item_id"], row["day"])
            if expected is None and feature.statistic == "count" and "kinds" not in feature.by:
                expected = 0
            assert row[feature.name] == pytest.approx(expected, abs=1e-8), feature.name
