"""A scaffolded pipeline loads, cleans its files, and says what there is to decide."""

from __future__ import annotations

import re

import pytest

from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.declaration import check_declaration
from mtl_pipeline.components.pipeline import define_pipeline
from mtl_pipeline.warehouse.tables import build_table
from mtl_pipeline_tests.scaffold.conftest import (
    EVENTS,
    IMPRESSIONS,
    ITEMS,
    MOVIES,
    RATINGS,
    USERS,
    Rows,
    Scaffold,
    build,
    rows_of,
)

VIEWERS: Rows = [["user_id", "age"], *([n, n] for n in range(1, 21))]
SHAPES: dict[str, dict[str, Rows]] = {
    "impressions": {"users": USERS, "items": ITEMS, "interactions": IMPRESSIONS},
    "ratings": {"users": VIEWERS, "items": MOVIES, "interactions": RATINGS},
    "ratings without users": {"items": MOVIES, "interactions": RATINGS},
    "event log": {"interactions": EVENTS},
    "pairs without times": {
        "items": ITEMS,
        "interactions": [row[:2] + row[3:5] for row in map(list, IMPRESSIONS)],
    },
    "answers without ids": {
        "interactions": [["age", "income"], *([20 + n, ["low", "high"][n % 4 == 0]] for n in range(40))]
    },
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_loads_and_is_cleaned(scaffold: Scaffold, shape: str) -> None:
    pipeline = scaffold(**SHAPES[shape])
    context = PipelineContext("shop", pipeline.spec, pipeline.paths)
    check_declaration(pipeline.defs, context)
    assert define_pipeline("shop", pipeline.spec).resolve_asset_graph().get_all_asset_keys()
    build(pipeline)


def test_impressions(scaffold: Scaffold) -> None:
    pipeline = scaffold(**SHAPES["impressions"])
    spec = pipeline.spec
    assert spec.interaction_key == ["user_id", "item_id", "timestamp"]
    assert [(task.name, task.kind, task.given) for task in spec.tasks] == [
        ("click", "binary", None),
        ("purchase", "binary", "click"),
    ]
    assert spec.negatives is None, "what was shown and left alone is logged"
    assert spec.features.users.categorical == ["country"]
    assert spec.features.users.numeric == ["age"]
    assert spec.features.items.categorical == ["tags", "item_country"], "names of features are unique"
    assert spec.features.items.numeric == ["price"]
    assert spec.features.interactions.numeric == [], "seconds watched would give the click away"
    assert "known when the item was shown: device, seconds_watched." in pipeline.text
    assert "-- Left out: url (links or objects)." in pipeline.sql("items")
    build(pipeline)
    assert rows_of(pipeline, "SELECT * FROM items WHERE item_id = 'A1'") == [
        ("A1", ["blue", "wool"], "PE", 1.5, "Item number 1. blue, wool", "my_items.csv", 2)
    ]
    assert rows_of(
        pipeline, "SELECT min(timestamp)::VARCHAR, sum(click), sum(purchase) FROM interactions"
    ) == [("2026-01-01 00:00:00", 80, 20)]


def test_a_log_with_times_is_proposed_a_past(scaffold: Scaffold) -> None:
    pipeline = scaffold(**SHAPES["impressions"])
    names = {feature.name for feature in pipeline.spec.features.history}
    assert {
        "user_click_count",
        "item_click_days_since",
        "item_click_share_7_days",
        "item_purchase_mean",
    } < names
    assert {"user_tags_click_lift", "user_item_country_click_lift", "user_click_price_gap"} < names
    assert pipeline.spec.features.sequence is not None
    assert pipeline.spec.model.sequence_encoder == "target_attention"


@pytest.mark.parametrize("shape", ["pairs without times", "answers without ids"])
def test_where_nothing_comes_before_anything_no_past_is_proposed(scaffold: Scaffold, shape: str) -> None:
    spec = scaffold(**SHAPES[shape]).spec
    assert (spec.history_features, spec.model.sequence_encoder) == ([], None)


def test_ratings(scaffold: Scaffold) -> None:
    pipeline = scaffold(**SHAPES["ratings"])
    assert [(task.name, task.kind, task.given) for task in pipeline.spec.tasks] == [
        ("interacted", "binary", None),
        ("liked", "binary", "interacted"),
        ("rating", "regression", "interacted"),
    ]
    assert pipeline.spec.negatives is not None, "a rating is only there where somebody watched"
    assert pipeline.spec.interaction_key == ["user_id", "item_id"]
    assert "(decimal_number(rating, 0.5, 5) >= 4)::INTEGER AS liked" in pipeline.sql("interactions")
    assert "list_transform(string_split(genres, ','), lambda part: trim(part)) AS genres" in pipeline.sql(
        "items"
    )


def test_ratings_prove_interactions_whatever_stands_beside_them(scaffold: Scaffold) -> None:
    rows = [
        [*RATINGS[0], "device"],
        *([*row, "phone" if n % 3 else "desk"] for n, row in enumerate(RATINGS[1:])),
    ]
    assert [task.name for task in scaffold(interactions=rows).spec.tasks] == ["interacted", "liked", "rating"]


def test_event_log(scaffold: Scaffold) -> None:
    pipeline = scaffold(interactions=EVENTS)
    assert [(task.name, task.given) for task in pipeline.spec.tasks] == [
        ("view", None),
        ("add_to_cart", "view"),
        ("buy", "view"),
    ]
    assert pipeline.spec.raw.users is None
    assert pipeline.spec.interaction_key == ["user_id", "item_id"]
    assert pipeline.spec.repeats == "merge"
    assert "(event_type = 'add to cart')::INTEGER AS add_to_cart" in pipeline.sql("interactions")
    assert "moment(event_time, 'ISO') AS timestamp" in pipeline.sql("interactions")


def test_the_time_of_an_item_may_be_when_it_came(scaffold: Scaffold) -> None:
    items = [
        [*ITEMS[0], "createdAt"],
        *([*row, f"2025-{n % 12 + 1:02}-01"] for n, row in enumerate(ITEMS[1:], 1)),
    ]
    pipeline = scaffold(users=USERS, items=items, interactions=IMPRESSIONS)
    assert "  # available_from: created_at" in pipeline.text.splitlines()
    pipeline.defs.write_text(pipeline.text.replace("# available_from", "available_from"))
    check_declaration(pipeline.defs, PipelineContext("shop", pipeline.spec, pipeline.paths))
    build(pipeline)


def test_without_times_the_split_is_by_hash(scaffold: Scaffold) -> None:
    spec = scaffold(**SHAPES["pairs without times"]).spec
    assert spec.split.hash_by == ["user_id"]
    assert not spec.timed


def test_without_ids(scaffold: Scaffold) -> None:
    pipeline = scaffold(**SHAPES["answers without ids"])
    assert pipeline.spec.ids == []
    assert pipeline.spec.features.interactions.numeric == ["age"], "there is nothing else to learn from"
    assert pipeline.spec.interaction_key == ["source_file", "source_line"]
    assert "(income = 'high')::INTEGER AS income" in pipeline.sql("interactions")


def test_bad_rows_are_refused_with_a_reason(scaffold: Scaffold) -> None:
    users = [*USERS, ["abc", "DE", 30, ""], ["3.7", "DE", 30, ""], [99, "DE", "nan", ""], [1, "FR", 3, ""]]
    items = [*ITEMS, ["", "No key", "", "", 1, ""], ["B1", "Half a price", "", "", "1.5 EUR", ""]]
    impressions = [
        *IMPRESSIONS,
        [1, "A1", "yesterday", 0, 0, "phone", 0],
        [1, "A1", 99_999_999_999_999_999, 0, 0, "phone", 0],
        [1, "A1", 1_767_225_600_000, 2, 0, "phone", 0],
        [777, "A1", 1_767_225_600_000, 0, 0, "phone", 0],
    ]
    pipeline = scaffold(users=users, items=items, interactions=impressions)
    for table in pipeline.spec.tables:
        build_table(pipeline.paths, pipeline.spec, table)
    assert rows_of(
        pipeline,
        """SELECT line, "column", reason FROM (FROM users_rejected UNION ALL FROM items_rejected
        UNION ALL FROM interactions_rejected) ORDER BY file, line""",
    ) == [
        (122, "shownAt", "not a whole number"),
        (123, "shownAt", "outside 1970 to 2100"),
        (124, "click", "neither 0 nor 1"),
        (125, "user_id", "unknown user"),
        (42, "sku", "missing"),
        (43, "price", "not a number"),
        (102, "userId", "not a whole number"),
        (103, "userId", "not a whole number"),
        (104, "age", "not a number"),
        (105, "user_id", "duplicate"),
    ]


def test_awkward_column_names(scaffold: Scaffold) -> None:
    names = ["order", "like", "select me", 'a "quoted" one', "{{ x }}", "Größe", "2nd"]
    items = [
        [*ITEMS[0], *names],
        *([*row, *((n + place) % 4 * 1.5 for place in range(len(names)))] for n, row in enumerate(ITEMS[1:])),
    ]
    pipeline = scaffold(items=items, interactions=IMPRESSIONS)
    assert len(pipeline.spec.features.items.numeric) == 1 + len(names)
    build(pipeline)


def test_no_column_vanishes_whose_name_is_taken(scaffold: Scaffold) -> None:
    """By the macros' own column, by a role, or by another column that is written alike."""
    header = ["user", "item", "ts", "click", "timestamp", "user_id", "rejection", "a-b", "a b"]
    rows = [
        [n % 20, n // 20, 1700000000 + n, n % 3 % 2, *(f"x{n * n // 7 % some}" for some in (3, 4, 2, 5, 7))]
        for n in range(300)
    ]
    roles = {"user_id": "user", "item_id": "item", "timestamp": "ts"}
    pipeline = scaffold(roles, interactions=[header, *rows])
    names = {"label_timestamp", "label_rejection", "a_b", "label_a_b"}
    assert names <= set(re.findall(r" AS (\w+),", pipeline.sql("interactions")))
    assert "-- Left out: user_id (" in pipeline.sql("interactions")
    build(pipeline)


def test_awkward_event_types(scaffold: Scaffold) -> None:
    types = ["{% if %}", "it's", "a\nb", "a b", "# x"]
    events: list[list[object]] = [["user_id", "item_id", "event", "time"]]
    events += [[n % 20 + 1, f"A{n % 10 + 1}", types[n % 5], f"2026-01-01 10:{n % 60:02}"] for n in range(100)]
    pipeline = scaffold(users=USERS, items=ITEMS, interactions=events)
    assert len({task.name for task in pipeline.spec.tasks}) == 5
    build(pipeline)


def test_a_key_with_leading_zeros_stays_a_string(scaffold: Scaffold) -> None:
    rows: list[list[object]] = [["user_id", "item_id", "timestamp", "click"]]
    rows += [[f"{n % 20:03}", n % 10, f"0{n % 9 + 1}/01/2026 10:00", n % 2] for n in range(60)]
    sql = scaffold(interactions=rows).sql("interactions")
    assert "\n    user_id,\n    whole_number(item_id) AS item_id," in sql
    assert (
        "moment(timestamp, 'day/month/year') AS timestamp, -- UTC. DECIDE which it is: day/month/year or month/day/year"
        in sql
    )


def test_named_columns_win(scaffold: Scaffold) -> None:
    spec_named = {"user_id": "device", "timestamp": "shownAt"}
    sql = scaffold(interactions=IMPRESSIONS, named=spec_named).sql("interactions")
    assert "device AS user_id" in sql


def test_a_count_of_what_is_to_be_predicted_is_no_feature(scaffold: Scaffold) -> None:
    items = [[*ITEMS[0], "total_clicks"], *([*row, n * 7 % 50 + 5] for n, row in enumerate(ITEMS[1:]))]
    pipeline = scaffold(items=items, interactions=IMPRESSIONS)
    assert "total_clicks" not in pipeline.spec.features.items.numeric
    assert "# DECIDE whether total_clicks knows the future." in pipeline.text
    assert "decimal_number(total_clicks) AS total_clicks" in pipeline.sql("items")


@pytest.mark.parametrize("timed", [True, False])
def test_what_nobody_wants_does_not_recommend(scaffold: Scaffold, timed: bool) -> None:
    rows: list[list[object]] = [["user_id", "item_id", "returned", "at"]]
    rows += [[n % 20, n // 20, int(n % 7 == 0), f"2026-01-01 10:00:{n % 60:02}"] for n in range(200)]
    pipeline = scaffold(interactions=[row[: 3 + timed] for row in rows])
    assert "{name: returned, kind: binary, given: interacted, good: false}" in pipeline.text or not timed
    assert pipeline.spec.recommendations.score == (None if timed else '1 - "returned"')


def test_columns_of_users_and_items_are_taken_from_the_log(scaffold: Scaffold) -> None:
    """Of an item the time of its first line tells when it was there: the file need not be in order."""
    rows = [
        [n % 20, f"A{n % 9}", f"Thing {n % 9}", f"2026-01-{28 - n % 28:02}", n % 2 * n % 3 // 2]
        for n in range(200)
    ]
    pipeline = scaffold(interactions=[["user_id", "item_id", "title", "day", "click"], *rows])
    assert pipeline.spec.raw.derived == ["items"]
    assert pipeline.spec.available_from == "first_seen"
    summary = build_table(pipeline.paths, pipeline.spec, "items")
    assert (summary.rows_kept, summary.rows_merged, summary.rows_rejected) == (9, 191, 0)
    first = {item: min(str(row[3]) for row in rows if row[1] == item) for _, item, *_ in rows}
    assert dict(rows_of(pipeline, "SELECT item_id, first_seen::DATE::VARCHAR FROM items")) == first


def test_a_few_wrong_rows_hide_no_column_of_items(scaffold: Scaffold) -> None:
    """As where somebody types another description, or the price changes once; what nearly all rows share is of none."""
    rows = [
        [f"A{n % 9}", f"Thing {n % 9}" if n % 40 else "damaged", 5 + n % 9 + (n % 50 == 0)]
        for n in range(400)
    ]
    said = [
        [n % 20, f"2026-01-{28 - n % 28:02}", "app" if n % 30 else "web", n % 2, *row]
        for n, row in enumerate(rows)
    ]
    columns = ["customer", "day", "channel", "click", "StockCode", "description", "price", "key", "value"]
    pipeline = scaffold(
        interactions=[columns, *([*row, n, n if n % 30 == 0 else ""] for n, row in enumerate(said))]
    )
    features = pipeline.spec.features
    assert pipeline.spec.ids == ["user_id", "item_id"]
    assert (features.items.numeric, features.items.text) == (["price"], "text")
    assert "channel" in pipeline.sql("interactions")


def test_a_few_dirty_rows_do_not_hide_what_a_task_is_conditional_on(scaffold: Scaffold) -> None:
    rows = ["user_id,item_id,at,click,purchase"]
    rows += [
        f"{n % 50},{n % 30},2026-01-01T{n % 24:02}:00:00,{n % 3 == 0:d},{n % 9 == 0:d}" for n in range(900)
    ]
    rows += ["1,2,2026-01-02T00:00:00,0,1"]
    pipeline = scaffold(interactions=[row.split(",") for row in rows])
    assert pipeline.spec.task("purchase").given == "click"
