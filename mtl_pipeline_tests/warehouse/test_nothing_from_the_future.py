"""No value of a split depends on what happened once the next split had started: not a label, a feature or a negative.

Times are days of January 2026. Validation starts on day 10 and the test on day 15, and what happens from then on is
altered, added and removed at random.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.facts import late_labels
from mtl_pipeline.warehouse.features.examples import build_examples
from mtl_pipeline.warehouse.features.windows import TimeWindow, build_window
from mtl_pipeline.warehouse.tables import build_table

START = datetime(2026, 1, 1)
VALIDATION, TEST = 10, 15

Event = tuple[int, int, float, int, int, int, float]
"""User, item, day, click, purchase, stars, days until the purchase was confirmed."""

LOG = """
SELECT user_id::INTEGER AS user_id, item_id::INTEGER AS item_id, "at"::TIMESTAMP AS timestamp,
    click::INTEGER AS click, purchase::INTEGER AS purchase, stars::INTEGER AS stars, device,
    confirmed::TIMESTAMP AS confirmed, source_file, source_line,
    NULL::STRUCT("column" VARCHAR, reason VARCHAR) AS rejection
FROM raw_interactions
"""
CATALOGUE = """
SELECT item_id::INTEGER AS item_id, kind, since::TIMESTAMP AS since, source_file, source_line,
    NULL::STRUCT("column" VARCHAR, reason VARCHAR) AS rejection
FROM raw_items
"""

CLICK, PURCHASE, STARS = (
    {"name": "click", "kind": "binary"},
    {"name": "purchase", "kind": "binary", "given": "click"},
    {"name": "stars", "kind": "regression"},
)
HISTORY = [
    {"by": by, "statistic": statistic, "label": label, "within_days": days}
    for by in (["user_id"], ["item_id"], ["user_id", "item_id"])
    for statistic, label, days in (("count", "click", None), ("mean", "purchase", 3), ("mean", "stars", None))
] + [
    {"by": ["user_id", "item_id"], "statistic": statistic, "label": label}
    for statistic, label in (("lift", "click"), ("relative_mean", "stars"), ("days_since", "purchase"))
]
PLAIN: dict = {
    "raw": {"users": None, "items": None},
    "interaction_key": ["user_id", "item_id", "timestamp"],
    "features": {
        "interactions": {"categorical": ["device"]},
        "history": HISTORY,
        "sequence": {"last": 3, "labels": ["stars"]},
    },
    "tasks": [CLICK, PURCHASE, STARS],
    "split": {"validation_from": START + timedelta(VALIDATION), "test_from": START + timedelta(TEST)},
}
SAMPLED = PLAIN | {"negatives": {"per_positive": 2}}
MERGED = PLAIN | {
    "interaction_key": ["user_id", "item_id"],
    "repeats": "merge",
    "features": PLAIN["features"] | {"sequence": {"last": 3}},
}
WITH_ITEMS = {
    "raw": {"users": None},
    "features": PLAIN["features"] | {"items": {"text": None, "categorical": ["kind"]}},
}
CONFIRMED = {"tasks": [CLICK, PURCHASE | {"known_at": "confirmed"}, STARS]}
AFTER_DAYS = {"tasks": [CLICK, PURCHASE | {"known_after_days": 2.5}, STARS]}
LATE_ROOT = {"tasks": [CLICK | {"known_after_days": 1}, PURCHASE, STARS]}
SHAPES: dict[str, dict] = {
    "impressions": PLAIN,
    "sampled negatives": SAMPLED,
    "sampled negatives for repeat purchases": SAMPLED
    | {"negatives": {"per_positive": 3, "unmet": "same_moment"}},
    "sampled negatives from a table of items": SAMPLED | WITH_ITEMS,
    "sampled negatives from the items of the day": SAMPLED | WITH_ITEMS | {"available_from": "since"},
    "merged events": MERGED,
    "merged events and sampled negatives": MERGED | {"negatives": {"per_positive": 2}},
    "a label with a time of its own": PLAIN | CONFIRMED,
    "a label after days": PLAIN | AFTER_DAYS,
    "merged events, a label with a time of its own": MERGED | CONFIRMED,
    "merged events, a label after days": MERGED | AFTER_DAYS,
    "sampled negatives of a root that is known late": SAMPLED | MERGED | LATE_ROOT,
}

EVENTS = 80
ANCHORS: list[Event] = [(20 + day, 9, day, 1, 1, 3, 0) for day in (0, VALIDATION, TEST, 20)]
"""So that every split has a label of every task, whatever is drawn."""


def random_log(seed: int, items: int = 6) -> list[Event]:
    rng = np.random.default_rng(seed)
    highest = [3, items, 39, 1, 1, 5, 9]
    drawn = rng.integers([1, 1, 0, 0, 0, 1, 0], highest, size=(EVENTS, 7), endpoint=True).tolist()
    return [
        (user, item, day / 2, click, purchase, stars, delay / 2)
        for user, item, day, click, purchase, stars, delay in drawn
    ]


def make_examples(
    root: Path, attributes: dict, events: Sequence[Event]
) -> tuple[PipelinePaths, PipelineSpec]:
    """Cleaned, built and published, all for real; an event is there once."""
    paths, spec = PipelinePaths(root, "shop"), PipelineSpec.model_validate(attributes)
    paths.sql.mkdir(parents=True)
    (paths.sql / "interactions.sql").write_text(LOG)
    (paths.sql / "items.sql").write_text(CATALOGUE)
    paths.raw.mkdir(parents=True)
    lines = [
        f"{user},{item},{START + timedelta(day)},{click},{purchase},{stars},{'phone' if item % 2 else 'desk'},"
        f"{START + timedelta(day + delay)}"
        for user, item, day, click, purchase, stars, delay in events
    ]
    header = "user_id,item_id,at,click,purchase,stars,device,confirmed"
    (paths.raw / "interactions.csv").write_text("\n".join([header, *lines]) + "\n")
    items = [
        f"{item},{'ab'[item % 2]},{START + timedelta(2 * item if item < 9 else 0)}" for item in range(1, 13)
    ]
    (paths.raw / "items.csv").write_text("\n".join(["item_id,kind,since", *items]) + "\n")
    for table in spec.tables:
        build_table(paths, spec, table)
    build_examples(paths, spec)
    return paths, spec


def read_examples(folder: Path) -> pl.DataFrame:
    """With what the places in chosen.parquet hold instead of the places: these move when somebody chooses more."""
    examples, chosen = (pl.read_parquet(folder / f"{name}.parquet") for name in ("examples", "chosen"))
    places = examples.select("chosen_from", "chosen_to").rows()
    past = pl.Series("past", [repr(chosen[start:end].rows()) for start, end in places])
    return examples.drop("chosen_from", "chosen_to").with_columns(past)


def known_by(paths: PipelinePaths, *splits: str) -> dict[str, pl.DataFrame]:
    """What is published of these splits, and what training learns about features."""
    examples = read_examples(paths.examples)
    return {
        "examples": examples.filter(pl.col("split").is_in(splits)),
        "statistics": pl.read_parquet(paths.examples / "statistics.parquet"),
        "vocabulary": pl.read_parquet(paths.examples / "vocabulary.parquet"),
    }


def known_again(event: Event, boundary: int, attributes: dict) -> Event:
    """An event of the past, whose purchase turns out otherwise where it was not known yet."""
    user, item, day, click, purchase, stars, delay = event
    declared = attributes["tasks"][1]
    if "known_at" in declared and day + delay >= boundary:
        return user, item, day, click, 1 - purchase, stars, boundary - day + delay % 2
    after_days = declared.get("known_after_days")
    if after_days and "repeats" not in attributes and day + after_days >= boundary:
        return user, item, day, click, 1 - purchase, stars, delay
    return event


def with_another_future(
    events: list[Event], future: list[Event], boundary: int, attributes: dict
) -> list[Event]:
    past = [known_again(event, boundary, attributes) for event in events if event[2] < boundary]
    return past + once(event for event in [*ANCHORS, *future] if event[2] >= boundary)


def trained(examples: pl.DataFrame) -> pl.DataFrame:
    return examples.filter(pl.col("split") == "train").drop("example_id")


def once(events: Iterable[Event]) -> list[Event]:
    return list({event[:3]: event for event in events}.values())


@pytest.mark.parametrize("shape", SHAPES)
def test_a_split_knows_nothing_of_what_happened_once_the_next_one_had_started(
    tmp_path_factory: pytest.TempPathFactory, shape: str
) -> None:
    attributes, future = SHAPES[shape], random_log(1_000, items=8)
    events = once([*random_log(0), *ANCHORS])
    first, _ = make_examples(tmp_path_factory.mktemp("first"), attributes, events)
    for boundary, splits in ((VALIDATION, ["train"]), (TEST, ["train", "validation"])):
        other = with_another_future(events, future, boundary, attributes)
        again, _ = make_examples(tmp_path_factory.mktemp("again"), attributes, other)
        for name, table in known_by(first, *splits).items():
            assert known_by(again, *splits)[name].equals(table), f"{name} of {splits}"


@pytest.mark.parametrize("shape", ["merged events and sampled negatives", "a label after days"])
def test_a_window_of_a_backtest_knows_nothing_of_what_came_after_it(
    tmp_path_factory: pytest.TempPathFactory, shape: str
) -> None:
    """Its labels are those of its own boundaries: validation from day 4, test from day 7 up to day 10."""
    attributes, future = SHAPES[shape], random_log(1_000, items=8)
    events = once([*random_log(0), *ANCHORS])
    start, validation, test, end = (START + timedelta(day) for day in (0, 4, 7, VALIDATION))
    window = TimeWindow(1, 3, start, validation, test, end)
    made = []
    for log in (events, with_another_future(events, future, VALIDATION, attributes)):
        paths, spec = make_examples(tmp_path_factory.mktemp("root"), attributes, log)
        build_window(spec, window, source=paths.examples / "examples.parquet", target=paths.root / "made")
        made.append(read_examples(paths.root / "made"))
    assert made[0].equals(made[1])
    nothing_else = [event for event in events if START + timedelta(event[2]) < validation]
    nothing_else += [(20 + day, 9, day, 1, 1, 3, 0) for day in (4, 7, 20)]
    split = attributes | {"split": {"validation_from": validation, "test_from": test}}
    paths, _ = make_examples(tmp_path_factory.mktemp("alone"), split, once(nothing_else))
    assert trained(made[0]).equals(trained(known_by(paths, "train")["examples"]))


def test_a_positive_in_a_window_of_a_backtest_has_its_negatives(tmp_path: Path) -> None:
    """Also one that its own split knew too late, and that had no negatives there: the window leaves it out."""
    attributes = SAMPLED | {"tasks": [CLICK | {"known_after_days": 1}, PURCHASE, STARS]}
    events = [(place, place % 6, place / 3, 1, 1, 3, 0) for place in range(60)]
    paths, spec = make_examples(tmp_path, attributes, events)
    days = (0, 5, VALIDATION - 2, VALIDATION + 2)
    start, validation, test, end = (START + timedelta(day) for day in days)
    window = TimeWindow(1, 3, start, validation, test, end)
    build_window(spec, window, source=paths.examples / "examples.parquet", target=paths.root / "made")
    rows = pl.read_parquet(paths.root / "made" / "examples.parquet")
    moment = ["user_id", "timestamp"]
    rows = rows.filter(pl.col("timestamp") > START + timedelta(2))  # by then there are items to draw
    positives, negatives = (rows.filter(pl.col("click") == label) for label in (1, 0))
    assert positives.join(negatives.filter("sampled"), on=moment, how="anti").is_empty()
    assert len(positives) > 3


def test_labels_that_were_not_known_in_time_are_not_observed_and_counted(tmp_path: Path) -> None:
    """A purchase is known after 3 days; the log ends on day 20."""
    attributes = PLAIN | {"tasks": [CLICK, PURCHASE | {"known_after_days": 3}]}
    attributes["features"] = {"history": HISTORY[:1]}
    events = [(1, 1, day, 1, 1, 3, 0) for day in range(21)]
    paths, _ = make_examples(tmp_path, attributes, events)
    rows = pl.read_parquet(paths.examples / "examples.parquet")
    unknown = rows.filter(pl.col("purchase").is_null())["timestamp"].dt.day() - 1
    assert unknown.to_list() == [7, 8, 9, 12, 13, 14, 18, 19, 20]
    assert rows["click"].null_count() == 0
    assert late_labels(paths) == {
        f"{split}: purchase": "3 not yet known, 0 changed later" for split in ("train", "validation", "test")
    }


def test_a_split_without_any_label_that_was_known_in_time_is_refused(tmp_path: Path) -> None:
    attributes = PLAIN | {"tasks": [CLICK, PURCHASE | {"known_after_days": 5}]}
    attributes["features"] = {"history": HISTORY[:1]}
    events = [(1, 1, day, 1, 1, 3, 0) for day in range(21)]
    with pytest.raises(
        UserError, match=r"purchase: of the 5 labels of validation none was known before test starts"
    ):
        make_examples(tmp_path, attributes, events)


def test_history_counts_each_label_from_its_own_time_on(tmp_path: Path) -> None:
    """The click of day 1 is history on day 2; its purchase, confirmed on day 6, is on day 7."""
    label = {"statistic": "count", "by": ["user_id"]}
    features = {"history": [label | {"label": "click"}, label | {"label": "purchase"}]}
    events = [(1, 1, 1, 1, 1, 3, 5), (1, 2, 2, 0, 0, 3, 0), (1, 3, 7, 0, 0, 3, 0), *ANCHORS]
    paths, _ = make_examples(tmp_path, PLAIN | CONFIRMED | {"features": features}, events)
    rows = pl.read_parquet(paths.examples / "examples.parquet").filter(pl.col("user_id") == 1)
    assert rows["user_click_count"].to_list() == [0, 1, 1]
    assert rows["user_purchase_count"].to_list() == [0, 0, 1]


def test_a_like_replaces_the_view_before_it_in_the_mean_of_history(tmp_path: Path) -> None:
    """Viewed on day 0, bought on day 4. Within three days back, it counts once: as it stood last."""
    by = {"by": ["item_id"], "statistic": "mean", "label": "purchase"}
    features = {"history": [by, by | {"within_days": 3}]}
    log = [(1, 1, 0, 1, 0, 3, 0), (2, 1, 0, 1, 0, 3, 0), (1, 1, 4, 1, 1, 3, 0)]
    log += [(user, 1, day, 1, 0, 3, 0) for user, day in ((3, 2), (4, 5))]
    paths, _ = make_examples(tmp_path, MERGED | {"features": features}, [*log, *ANCHORS])
    rows = pl.read_parquet(paths.examples / "examples.parquet").filter(pl.col("user_id").is_in([3, 4]))
    assert rows["item_purchase_mean"].to_list() == [0, 1 / 3]
    assert rows["item_purchase_mean_3_days"].to_list() == [0, 1 / 2]


def test_what_a_user_meets_later_can_be_a_negative_of_theirs(tmp_path: Path) -> None:
    """Of the three items, user 1 takes one a day. Whoever never gives what will be met gives the future away."""
    events = [(1, item, day, 1, 1, 3, 0) for item, day in ((1, 1), (2, 2), (3, 3))]
    events += [(2, item, 0, 1, 1, 3, 0) for item in (1, 2, 3)]
    paths, _ = make_examples(tmp_path, SAMPLED, [*events, (9, 9, 0.5, 1, 1, 3, 0), *ANCHORS[1:]])
    rows = pl.read_parquet(paths.examples / "examples.parquet").filter(pl.col("sampled"), user_id=1)
    by_day = {day: set(items) for day, items in rows.group_by("timestamp").agg("item_id").iter_rows()}
    assert by_day[START + timedelta(1)] <= {2, 3, 9}
    assert by_day[START + timedelta(2)] == {3, 9}
    assert by_day[START + timedelta(3)] == {9}


def test_where_users_come_back_only_the_same_moment_is_left_out(tmp_path: Path) -> None:
    events = [(1, item, day, 1, 1, 3, 0) for day in range(9) for item in (1, 2)]
    attributes = SAMPLED | {"negatives": {"per_positive": 2, "unmet": "same_moment"}}
    paths, _ = make_examples(
        tmp_path, attributes, [*events, (2, 3, 0, 1, 1, 3, 0), (2, 1, 4.5, 1, 1, 3, 0), *ANCHORS]
    )
    rows = pl.read_parquet(paths.examples / "examples.parquet").filter(pl.col("sampled"), split="train")
    assert set(rows.filter(user_id=1)["item_id"]) == {3, 9}
    assert set(rows.filter(user_id=2, timestamp=START + timedelta(4.5))["item_id"]) <= {2, 3, 9}


def test_without_a_table_an_item_exists_from_its_first_interaction_on(tmp_path: Path) -> None:
    events = [(user, user, user, 1, 1, 3, 0) for user in range(1, 9)]
    paths, _ = make_examples(tmp_path, SAMPLED, [*events, *ANCHORS])
    rows = pl.read_parquet(paths.examples / "examples.parquet").filter(pl.col("sampled"), split="train")
    assert rows.filter((pl.col("item_id") >= pl.col("user_id")) & (pl.col("item_id") != 9)).is_empty()


def test_negatives_are_drawn_evenly_and_differ_within_a_positive(tmp_path: Path) -> None:
    """User 1 has met 4 of 12 items, so that many draws are refused; what is left comes equally often."""
    events: list[Event] = [(1, item, 0, 1, 1, 3, 0) for item in (1, 2, 3)]
    events += [(1, 4, 1 + moment / 500, 1, 1, 3, 0) for moment in range(2000)]
    attributes = SAMPLED | WITH_ITEMS | {"negatives": {"per_positive": 3}}
    paths, _ = make_examples(tmp_path, attributes, [*events, *ANCHORS])
    rows = pl.read_parquet(paths.examples / "examples.parquet")
    rows = rows.filter(pl.col("sampled"), pl.col("timestamp") > START + timedelta(1), user_id=1)
    moments = rows.group_by("timestamp").agg(pl.col("item_id").n_unique().alias("items"), pl.len())
    assert (moments["items"] == 3).all()
    assert (moments["len"] == 3).all()
    counts = dict(rows["item_id"].value_counts().iter_rows())
    assert sorted(counts) == list(range(5, 13))
    assert all(0.85 < count / (len(rows) / 8) < 1.15 for count in counts.values())
