"""How an item is related to what a user chose before, against its definition, computed event by event."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.vectors import write_vectors
from mtl_pipeline.warehouse.connection import open_warehouse
from mtl_pipeline.warehouse.features.candidates import build_candidates
from mtl_pipeline.warehouse.features.relations import EarlierCounts, leading_components
from mtl_pipeline.warehouse.features.sequences import add_sequence_features
from mtl_pipeline_tests.warehouse.pairs import rows_of

START, USERS, ITEMS, LAST = datetime(2026, 1, 1), 4, 5, 3
DECLARED: dict = {
    "raw": {"users": None},
    "features": {"sequence": {"last": LAST, "labels": ["stars"]}},
    "tasks": [{"name": "click", "kind": "binary"}, {"name": "stars", "kind": "regression", "given": "click"}],
    "recommendations": {"exclude": "nothing"},
}
SPEC = PipelineSpec.model_validate(DECLARED)
Event = tuple[int, int, int, int, int | None]
"""User, item, day, click, stars."""
EVENT = st.tuples(
    st.integers(1, USERS),
    st.integers(1, ITEMS),
    st.integers(0, 8),
    st.integers(0, 1),
    st.none() | st.integers(1, 5),
)
EVENTS = st.lists(EVENT, min_size=1, max_size=25, unique_by=lambda event: event[:3])


def write_log(root: Path, events: list[Event], spec: PipelineSpec = SPEC) -> tuple[PipelinePaths, np.ndarray]:
    """The warehouse of these events, and the items' text vectors, one of each direction."""
    paths = PipelinePaths(root, "shop")
    log = pl.DataFrame(
        events, schema=["user_id", "item_id", "day", "click", "stars"], orient="row", infer_schema_length=None
    )
    log = log.with_columns(pl.col("stars").cast(pl.Int64), timestamp=START + pl.duration(days="day")).drop(
        "day"
    )
    items = pl.DataFrame({"item_id": range(1, ITEMS + 1), "text": [f"item {item}" for item in range(ITEMS)]})
    with open_warehouse(paths.warehouse, settings=spec.warehouse) as connection:
        connection.execute("CREATE TABLE items AS FROM items; CREATE TABLE interactions AS FROM log")
    vectors = np.random.default_rng(0).normal(size=(ITEMS, 4)).astype(np.float32)
    hashes = pa.array([bytes(16)] * ITEMS, pa.binary(16))
    write_vectors(paths.embeddings("items"), items["item_id"].to_arrow(), vectors, hashes, {})
    return paths, vectors


def features_of(paths: PipelinePaths, rows: pl.DataFrame, spec: PipelineSpec = SPEC) -> pl.DataFrame:
    """In the order of rows: user_id, item_id, timestamp."""
    made, _ = features_and_chosen(paths, rows, spec)
    return made.drop("chosen_from", "chosen_to")


def features_and_chosen(
    paths: PipelinePaths, rows: pl.DataFrame, spec: PipelineSpec = SPEC
) -> tuple[pl.DataFrame, pl.DataFrame]:
    with open_warehouse(paths.warehouse, read_only=True) as connection:
        connection.execute("CREATE TEMP TABLE rows AS FROM rows")
        table = add_sequence_features(connection, paths, spec, "rows")
        made = connection.sql(f"FROM {table} ORDER BY user_id, item_id, timestamp").pl()
        return made, connection.sql("FROM chosen").pl()


def chosen_before(events: list[Event], day: float) -> list[Event]:
    """In order of time; of one time, in order of items."""
    earlier = (event for event in events if event[2] < day and event[3])
    return sorted(earlier, key=lambda event: (event[2], event[1]))


def by_definition(
    events: list[Event], vectors: np.ndarray, user: int, item: int, day: float
) -> dict[str, float | None]:
    """What add_sequence_features says of one row, from the events of days before it."""
    earlier = chosen_before(events, day)
    chosen = {one: [event for event in earlier if event[0] == one] for one in range(1, USERS + 1)}
    last = chosen[user][-LAST:]
    if not last:
        return dict.fromkeys(SPEC.sequence_features)
    stars = [event[4] for event in chosen[user] if event[4] is not None]
    above = {event[:3]: event[4] - float(np.mean(stars)) for event in last if event[4] is not None}

    def together(one: int, other: int) -> int:
        """Pairs of places of one user's list that are less than LAST apart; each item counts for each of its places."""
        return sum(
            1
            for own in chosen.values()
            for place, event in enumerate(own)
            for before in own[max(0, place - LAST + 1) : place]
            for pair in ((event[1], before[1]), (before[1], event[1]))
            if pair == (one, other)
        )

    def alone(one: int) -> int:
        return sum(event[1] == one for event in earlier)

    def weighted(weights: list[float]) -> float:
        known = [
            (weight, above[event[:3]])
            for weight, event in zip(weights, last, strict=True)
            if event[:3] in above
        ]
        return sum(weight * value for weight, value in known) / (sum(weight for weight, _ in known) + 1e-4)

    cosines = [float(vectors[event[1] - 1] @ vectors[item - 1]) for event in last]
    total = float(np.linalg.norm(sum(vectors[event[1] - 1] for event in last)))
    relations = [
        together(item, event[1]) / math.sqrt((alone(item) + 3) * (alone(event[1]) + 3)) for event in last
    ]
    return {
        "last_3_similar_mean": sum(cosines) / max(total, 1e-6),
        "last_3_similar_max": max(cosines),
        "last_3_similar_stars": weighted([math.exp(5 * cosine) for cosine in cosines]),
        "last_3_neighbour_mean": float(np.mean(relations)),
        "last_3_neighbour_max": max(relations),
        "last_3_neighbour_stars": weighted([relation**2 for relation in relations]),
        "last_3_popularity_gap": math.log1p(alone(item))
        - float(np.mean([math.log1p(alone(event[1])) for event in last])),
    }


def rows_of_days(*days: int) -> pl.DataFrame:
    """Every user, and one who is not in the log, with every item."""
    users, items = range(1, USERS + 2), range(1, ITEMS + 1)
    rows = [(user, item, START + timedelta(day)) for user in users for item in items for day in days]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


@settings(max_examples=12, deadline=None)
@given(events=EVENTS)
def test_relations_are_those_of_their_definition(
    tmp_path_factory: pytest.TempPathFactory, events: list[Event]
) -> None:
    paths, vectors = write_log(tmp_path_factory.mktemp("root"), events)
    components = leading_components(vectors)
    made, chosen = features_and_chosen(paths, rows_of_days(0, 3, 5, 9))
    for row in made.iter_rows(named=True):
        day = (row["timestamp"] - START) / timedelta(days=1)
        user = row["user_id"]
        last = [event for event in chosen_before(events, day) if event[0] == user][-LAST:]
        looked_back_at = chosen[row["chosen_from"] : row["chosen_to"]].select("item_id", "stars").rows()
        assert looked_back_at == [(event[1], event[4]) for event in last]
        expected = (
            by_definition(events, components, user, row["item_id"], day)
            if user <= USERS
            else dict.fromkeys(SPEC.sequence_features)
        )
        assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-5)


CLICK, STARS = DECLARED["tasks"]
KNOWN_LATE = PipelineSpec.model_validate(DECLARED | {"tasks": [CLICK | {"known_after_days": 3}, STARS]})


@settings(max_examples=5, deadline=None)
@given(events=EVENTS, spec=st.sampled_from([SPEC, KNOWN_LATE]))
def test_candidates_have_what_a_row_of_this_moment_would_have(
    tmp_path_factory: pytest.TempPathFactory, events: list[Event], spec: PipelineSpec
) -> None:
    """Also where what was chosen last is not known yet."""
    paths, _ = write_log(tmp_path_factory.mktemp("root"), events)
    with build_candidates(paths, spec) as candidates:
        made, chosen = pl.concat(rows_of(candidates)), candidates.chosen
    now = max(event[2] for event in events)
    rows = made.select("user_id", "item_id", timestamp=pl.lit(START + timedelta(days=now, seconds=1)))
    expected, chosen_by_then = features_and_chosen(paths, rows, spec)
    assert_frame_equal(made, expected.drop("timestamp"), abs_tol=1e-5, check_column_order=False)
    assert chosen is not None
    assert_frame_equal(chosen, chosen_by_then)


def test_where_everything_was_chosen_there_are_no_candidates(tmp_path: Path) -> None:
    spec = PipelineSpec.model_validate(DECLARED | {"recommendations": {"exclude": "chosen"}})
    paths, _ = write_log(tmp_path, [(1, item, item, 1, None) for item in range(1, ITEMS + 1)])
    with build_candidates(paths, spec) as frames:
        (made,) = rows_of(frames)
    assert made.is_empty()
    assert set(spec.sequence_features) <= set(made.columns)


def test_items_without_text_are_similar_to_nothing() -> None:
    """Their vectors are 0; as if they lay at the centre of all texts."""
    vectors = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    vectors[[1, 4]] = 0
    components = leading_components(vectors)
    assert components @ components[1] == pytest.approx(np.zeros(6))
    assert np.linalg.norm(components[[0, 2, 3, 5]], axis=1) == pytest.approx(np.ones(4), abs=1e-5)


def test_a_label_must_not_be_called_as_a_statistic_is() -> None:
    with pytest.raises(ValueError, match="'max', which is also a statistic"):
        PipelineSpec.model_validate(
            DECLARED
            | {"features": {"sequence": {"labels": ["max"]}}, "tasks": [CLICK, STARS | {"name": "max"}]}
        )


def test_without_texts_only_who_chose_both_is_known(tmp_path: Path) -> None:
    """Users 1 and 2 chose the items 1 and 2; user 3, who chose 1, is told of 2."""
    spec = PipelineSpec.model_validate(
        DECLARED | {"features": {"items": {"text": None}, "sequence": {"last": LAST}}}
    )
    paths, _ = write_log(
        tmp_path, [(user, item, user, 1, None) for user in (1, 2) for item in (1, 2)] + [(3, 1, 3, 1, 5)]
    )
    paths.embeddings("items").unlink()
    rows = pl.DataFrame({"user_id": [3, 3], "item_id": [2, 3], "timestamp": [START + timedelta(4)] * 2})
    made = features_of(paths, rows, spec)
    assert made.columns[3:] == [
        "last_3_neighbour_mean",
        "last_3_neighbour_max",
        "last_3_popularity_gap",
    ]
    assert made["last_3_neighbour_max"].to_list() == pytest.approx([2 / math.sqrt((2 + 3) * (3 + 3)), 0])


def test_a_label_that_may_be_known_later_than_its_row_is_refused(tmp_path: Path) -> None:
    click, stars = DECLARED["tasks"]
    spec = PipelineSpec.model_validate(DECLARED | {"tasks": [click, stars | {"known_after_days": 2}]})
    paths, _ = write_log(tmp_path, [(1, 1, 0, 1, 5)], spec)
    rows = pl.DataFrame({"user_id": [1], "item_id": [1], "timestamp": [START]})
    with pytest.raises(UserError, match=r"features\.sequence.*stars, which may be known later than its row"):
        features_of(paths, rows, spec)


def test_vectors_that_lack_an_item_are_refused(tmp_path: Path) -> None:
    paths, vectors = write_log(tmp_path, [(1, 1, 0, 1, 5)])
    hashes = pa.array([bytes(16)], pa.binary(16))
    write_vectors(paths.embeddings("items"), pa.array([1], pa.int64()), vectors[:1], hashes, {})
    rows = pl.DataFrame({"user_id": [1], "item_id": [1], "timestamp": [START]})
    with pytest.raises(UserError, match="4 items have no text vector: materialize item_embeddings again"):
        features_of(paths, rows)


def test_counts_of_more_keys_and_moments_than_a_number_can_tell_apart_never_see_ahead() -> None:
    """Two moments may become one; what is counted lies strictly before all the same."""
    keys, moments = np.array([5, 5, 5, 2**40]), np.array([0, 2**30 - 2, 2**30 - 1, 3])
    counts = EarlierCounts(2**40 + 1, 2**30, len(keys))
    counts.add(keys, moments)
    counts.sort()
    assert counts.coarseness > 1
    assert counts.before(np.array([5, 5, 2**40]), np.array([0, 2**30 - 2, 2**30])).tolist() == [0, 1, 1]
    assert counts.before(np.array([5]), np.array([2**30 - 1]))[0] <= 2
