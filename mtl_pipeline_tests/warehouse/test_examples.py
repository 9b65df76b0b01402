"""Examples of pipelines of every shape: what each row knows, and where each label counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec, Recommendations, Warehouse
from mtl_pipeline.warehouse.checks import run_checks
from mtl_pipeline.warehouse.checks.tables import table_checks
from mtl_pipeline.warehouse.connection import open_warehouse
from mtl_pipeline.warehouse.features.candidates import build_candidates
from mtl_pipeline.warehouse.features.examples import build_examples
from mtl_pipeline.warehouse.tables import build_table
from mtl_pipeline_tests.warehouse.pairs import rows_of
from mtl_pipeline_tests.warehouse.shops import (
    SHOP,
    SHOP_LOG,
    census,
    prepare,
    shop,
    shop_lines,
)


def examples(paths: PipelinePaths) -> pl.DataFrame:
    return pl.read_parquet(paths.examples / "examples.parquet")


def test_labels_count_only_where_all_that_they_are_conditional_on_happened(tmp_path: Path) -> None:
    paths, spec = shop(tmp_path)
    build_examples(paths, spec)
    rows = examples(paths)
    assert rows.filter(pl.col("click") == 0)["purchase"].null_count() == 20
    assert rows.filter(pl.col("click") == 1)["purchase"].null_count() == 0
    assert rows.filter(pl.col("purchase") == 1)["stars"].to_list() == [4.0] * 10
    assert rows["stars"].count() == 10


def test_context_of_an_interaction_is_a_feature_and_unknown_for_candidates(tmp_path: Path) -> None:
    paths, spec = shop(tmp_path)
    build_examples(paths, spec)
    rows = examples(paths)
    assert rows["device"].unique().to_list() == ["phone"]
    assert rows["position"].to_list() == [1, 2] * 20
    with build_candidates(paths, spec) as frames:
        (candidates,) = rows_of(frames)
    assert candidates["device"].null_count() == len(candidates)
    assert candidates["position"].null_count() == len(candidates)
    assert candidates["user_purchase_count"].unique().to_list() == [10.0]


@pytest.mark.parametrize(("exclude", "left"), [("shown", 0), ("chosen", 20), ("nothing", 40)])
def test_items_excluded_from_recommendation(tmp_path: Path, exclude: str, left: int) -> None:
    paths, spec = shop(tmp_path, recommendations={"exclude": exclude})
    with build_candidates(paths, spec) as frames:
        assert sum(len(frame) for frame in rows_of(frames)) == left


def test_sampled_negatives_share_the_context_of_their_positive(tmp_path: Path) -> None:
    paths, spec = shop(tmp_path, negatives={"per_positive": 1})
    root = examples_of_clicks_only(paths, spec)
    negatives = root.filter(pl.col("click") == 0)
    assert len(negatives) == 20
    assert negatives["device"].unique().to_list() == ["phone"]
    assert negatives["position"].unique().to_list() == [1]


def examples_of_clicks_only(paths: PipelinePaths, spec: PipelineSpec) -> pl.DataFrame:
    """The examples after the log lost its impressions without a click; other visitors met other products."""
    log = paths.raw / "interactions.csv"
    kept = [line for line in log.read_text().splitlines() if ",0,0," not in line]
    others = [f"2,b{day},2026-01-{day:02},1,0,,phone,1" for day in range(1, 21)]
    log.write_text("\n".join([*kept, *others]) + "\n")
    build_table(paths, spec, "interactions")
    build_examples(paths, spec)
    return examples(paths).filter(pl.col("user_id") == 1)


def test_without_time_a_hash_of_the_key_splits(tmp_path: Path) -> None:
    paths, spec = census(tmp_path)
    summary = build_examples(paths, spec)
    assert summary.boundaries == {}
    first = examples(paths)
    assert 350 < (first["split"] == "train").sum() < 450
    assert first.columns[:4] == ["example_id", "timestamp", "person", "split"]

    lines = (paths.raw / "interactions.csv").read_text().splitlines()
    (paths.raw / "interactions.csv").write_text("\n".join([lines[0], *reversed(lines[200:])]) + "\n")
    build_table(paths, spec, "interactions")
    build_examples(paths, spec)
    both = examples(paths).join(first, on="person")
    assert len(both) == 301
    assert both["split"].equals(both["split_right"])


def test_rows_of_one_user_stay_in_one_split_where_the_user_is_hashed(tmp_path: Path) -> None:
    paths, spec = census(tmp_path, split={"hash_by": ["town"], "train": 0.5, "validation": 0.2})
    build_examples(paths, spec)
    splits = examples(paths).group_by("town").agg(pl.col("split").n_unique())
    assert splits["split"].unique().to_list() == [1]


def test_classes_are_numbered_as_declared(tmp_path: Path) -> None:
    paths, spec = census(tmp_path)
    build_examples(paths, spec)
    rows = examples(paths)
    assert (rows["degree"] == rows["person"] % 3).all()
    assert (rows["jobs"] == rows["person"] % 5).all()


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    paths, spec = census(tmp_path, split={"hash_by": ["age"]})
    with pytest.raises(UserError, match="split is empty"):
        build_examples(paths, spec)


CATALOGUE = """
SELECT product AS item_id, TRY_CAST(since AS TIMESTAMP) AS since, source_file, source_line,
    NULL::STRUCT("column" VARCHAR, reason VARCHAR) AS rejection
FROM raw_items
"""


def test_negatives_and_recommendations_come_from_the_items_that_were_there(tmp_path: Path) -> None:
    """Product a<n> comes on day n; always<n> has no date. A visitor takes a1 on day 5 and a9 on day 12."""
    attributes = SHOP | {
        "raw": {"users": None},
        "features": {"items": {"text": None}},
        "tasks": SHOP["tasks"][:1],
        "available_from": "since",
        "negatives": {"per_positive": 6},
        "split": {"train": 0.4, "validation": 0.3},
    }
    header = "visitor,product,at,click,purchase,stars,device,position"
    root = tmp_path / "root"
    paths, spec = PipelinePaths(root, "shop"), PipelineSpec.model_validate(attributes)
    paths.raw.mkdir(parents=True)
    products = [f"a{day},2026-01-{day:02}" for day in range(1, 21)] + ["always1,", "always2,"]
    (paths.raw / "items.csv").write_text("\n".join(["product,since", *products]) + "\n")
    (paths.raw / "interactions.csv").write_text(
        f"{header}\n1,a1,2026-01-05,1,,,phone,1\n1,a9,2026-01-12,1,,,phone,1\n2,a2,2026-01-20,1,,,phone,1\n"
    )
    paths.sql.mkdir(parents=True)
    (paths.sql / "items.sql").write_text(CATALOGUE)
    (paths.sql / "interactions.sql").write_text(SHOP_LOG)
    build_table(paths, spec, "items")
    build_table(paths, spec, "interactions")
    build_examples(paths, spec)
    negatives = (
        examples(paths).filter(pl.col("click") == 0).group_by("timestamp").agg("item_id").sort("timestamp")
    )
    first, second, third = (set(items) for items in negatives["item_id"])
    assert first == {"always1", "always2", "a2", "a3", "a4", "a5"}
    assert len(second) == 6
    assert second <= {"always1", "always2", *(f"a{day}" for day in range(2, 13))} - {"a9"}
    assert len(third) == 6
    assert "a2" not in third

    newest = spec.model_copy(update={"recommendations": Recommendations(newest_days=3)})
    with build_candidates(paths, newest) as frames:
        candidates = pl.concat(rows_of(frames))
    assert set(candidates["item_id"]) == {"a17", "a18", "a19", "a20"}


EVENT_LOG = """
SELECT TRY_CAST(visitor AS INTEGER) AS user_id, product AS item_id, TRY_CAST("at" AS TIMESTAMP) AS timestamp,
    1 AS view, (event = 'like')::INTEGER AS "like", device, source_file, source_line,
    CASE WHEN event NOT IN ('view', 'like') THEN reject('event', 'not a known event') END AS rejection
FROM raw_interactions
"""


def test_events_of_one_pair_become_one_interaction(tmp_path: Path) -> None:
    attributes = {
        "raw": {"users": None, "items": None},
        "interaction_key": ["user_id", "item_id"],
        "repeats": "merge",
        "features": {
            "interactions": {"categorical": ["device"]},
            "history": [{"by": ["user_id"], "statistic": "count", "label": "like"}],
        },
        "tasks": [{"name": "view", "kind": "binary"}, {"name": "like", "kind": "binary", "given": "view"}],
        "negatives": {"per_positive": 1},
        "split": {"train": 0.4, "validation": 0.3},
    }
    paths, spec = PipelinePaths(tmp_path, "shop"), PipelineSpec.model_validate(attributes)
    paths.sql.mkdir(parents=True)
    (paths.sql / "interactions.sql").write_text(EVENT_LOG)
    paths.raw.mkdir(parents=True)
    (paths.raw / "interactions.csv").write_text(
        "visitor,product,at,event,device\n"
        "1,a,2026-01-05,like,laptop\n"
        "1,a,2026-01-01,view,phone\n"
        "1,a,2026-01-02,view,tablet\n"
        "1,b,2026-01-04,view,phone\n"
        "1,c,2026-01-06,view,phone\n"
        "2,d,2026-01-07,view,phone\n"
        "2,d,2026-01-08,eat,phone\n"
    )
    summary = build_table(paths, spec, "interactions")
    assert (summary.rows_read, summary.rows_kept, summary.rows_merged, summary.rows_rejected) == (7, 4, 2, 1)
    (accounted,) = [
        check for check in table_checks(spec, "interactions") if check.name.startswith("every_row")
    ]
    (result,) = run_checks(paths, [accounted], {"rows_read": summary.rows_read})
    assert result.passed

    build_examples(paths, spec)
    watched = examples(paths).filter(pl.col("view") == 1).sort("timestamp")
    assert watched["item_id"].to_list() == ["a", "b", "c", "d"]
    # Validation starts on day 4, so training does not know the like of day 5 yet; the interaction does.
    assert watched.filter(pl.col("split") == "train")["item_id"].to_list() == ["a"]
    assert watched["like"].to_list() == [0, 0, 0, 0]
    with open_warehouse(paths.warehouse, read_only=True) as connection:
        assert connection.execute('SELECT item_id FROM interactions WHERE "like" = 1').fetchall() == [("a",)]
    assert watched["device"].to_list() == ["phone"] * 4
    assert str(watched["timestamp"][0]) == "2026-01-01 00:00:00"
    # The like of day 5 is no history yet on day 4, although its interaction began on day 1.
    assert watched["user_like_count"].to_list() == [0, 0, 1, 0]


def test_same_log_same_examples_on_any_number_of_threads(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = 60_000
    header = "visitor,product,at,click,purchase,stars,device,position"
    lines = [
        f"{user},p{item},2026-01-01 {minute // 60:02}:{minute % 60:02}:00,1,1,{stars},{device},1"
        for user, item, minute, stars, device in zip(
            rng.integers(300, size=rows),
            rng.integers(200, size=rows),
            rng.integers(1_000, size=rows),
            rng.normal(3, 1, rows).round(5),
            rng.choice(["phone", "tablet"], rows),
            strict=True,
        )
    ]
    history = [{"by": ["item_id"], "statistic": "mean", "label": "stars"}]
    attributes = SHOP | {
        "interaction_key": ["user_id", "item_id", "timestamp", "source_line"],
        "features": {"interactions": {"categorical": ["device"]}, "history": history},
        "negatives": {"per_positive": 1},
    }
    sql = SHOP_LOG.replace("TRY_CAST(stars AS INTEGER)", "TRY_CAST(stars AS DOUBLE)")
    paths, spec = prepare(tmp_path, sql, attributes, header, lines)
    made = set()
    for threads in (1, 4, 4):
        several = spec.model_copy(update={"warehouse": Warehouse(threads=threads)})
        build_table(paths, several, "interactions")
        made.add(build_examples(paths, several).fingerprint)
    assert len(made) == 1


def test_recommendations_may_assume_a_moment(tmp_path: Path) -> None:
    context = {"device": "phone", "position": 1}
    paths, spec = shop(tmp_path, recommendations={"exclude": "nothing", "context": context})
    with build_candidates(paths, spec) as frames:
        (candidates,) = rows_of(frames)
    assert candidates.select("device", "position").unique().rows() == [("phone", 1)]
    assert candidates.schema["position"] == pl.Int32


def test_an_assumed_moment_is_made_of_features_of_interactions() -> None:
    with pytest.raises(
        ValueError, match=r"context names 'devise'; the features of interactions are: device, pos"
    ):
        PipelineSpec.model_validate(SHOP | {"recommendations": {"context": {"devise": "phone"}}})
    with pytest.raises(ValueError, match=r"context: position is numeric, and 'top' no number"):
        PipelineSpec.model_validate(SHOP | {"recommendations": {"context": {"position": "top"}}})


@pytest.mark.parametrize(
    ("value", "problem"),
    [("top", "'top' is none"), (1.5, "'1.5' would become 2"), ("2.5", "'2.5' would become 3")],
)
def test_an_assumed_value_that_its_column_cannot_hold(tmp_path: Path, value: object, problem: str) -> None:
    features = {"interactions": {"categorical": ["device", "position"]}}
    changes = {"features": features, "recommendations": {"context": {"position": value}}}
    paths, spec = shop(tmp_path, **changes)
    with (
        pytest.raises(UserError, match=f"position is INTEGER, and {problem}"),
        build_candidates(paths, spec),
    ):
        pass


MERGED = {"interaction_key": ["user_id", "item_id"], "repeats": "merge"}
LATE = {"tasks": [SHOP["tasks"][0] | {"known_after_days": 0.25}, *SHOP["tasks"][1:]]}
NAMES = ["place", "positive", "known", "available", "attempt", "wanted", "step", "steps", "now", "deadline"]
NAMES += ["validation_start", "test_start"]


@pytest.mark.parametrize("shape", [MERGED, LATE], ids=["merged", "late"])
def test_columns_may_have_any_name(tmp_path: Path, shape: dict) -> None:
    """Of two places on a page the second was lost: the SQL that merges events had a `place` of its own."""
    columns = ", ".join(f"TRY_CAST(position AS INTEGER) AS {name}" for name in NAMES)
    sql = SHOP_LOG.replace("TRY_CAST(position AS INTEGER) AS position", columns)
    features = SHOP["features"] | {"interactions": {"numeric": NAMES}}
    paths, spec = prepare(
        tmp_path,
        sql,
        SHOP | shape | {"features": features, "negatives": {"per_positive": 2}},
        "visitor,product,at,click,purchase,stars,device,position",
        shop_lines(),
    )
    build_examples(paths, spec)
    rows = examples(paths).filter(~pl.col("sampled"))
    assert len(rows) == 40
    for name in NAMES:
        assert rows.filter(pl.col("item_id").str.starts_with("a"))[name].unique().to_list() == [1]
        assert rows.filter(pl.col("item_id").str.starts_with("b"))[name].unique().to_list() == [2]


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Tokyo"])
def elsewhere(request: pytest.FixtureRequest) -> Iterator[None]:
    """A machine in another time zone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
def test_times_with_an_offset_mean_the_same_wherever_the_machine_is(tmp_path: Path) -> None:
    """In New York labels were known five hours early: a TIMESTAMPTZ was compared in the machine's own time."""
    lines = [
        f"1,a{hour},2026-01-{day:02} {hour:02}:00:00,1,0,,phone,1"
        for day in range(1, 11)
        for hour in range(0, 24, 3)
    ]
    sql = SHOP_LOG.replace(
        "device,", """device, ("at" || '+00')::TIMESTAMPTZ + INTERVAL 1 HOUR AS known_at,"""
    )
    attributes = SHOP | {"split": {"validation_from": "2026-01-07", "test_from": "2026-01-09"}}
    attributes["interaction_key"] = ["user_id", "item_id", "timestamp"]
    header = "visitor,product,at,click,purchase,stars,device,position"
    paths, spec = prepare(tmp_path, sql, attributes | {"tasks": SHOP["tasks"][:2]}, header, lines)
    build_examples(paths, spec)
    unknown = examples(paths).filter(pl.col("click").is_null())
    assert unknown["timestamp"].dt.strftime("%d %H").to_list() == ["10 21"]


def test_recommendations_know_the_last_event_of_merged_ones(tmp_path: Path) -> None:
    """Their "now" was after the last first event: a purchase that came later to an old interaction was not known."""
    lines = [f"1,a{day},2026-01-{day:02},1,0,,phone,1" for day in range(1, 11)]
    paths, spec = (
        PipelinePaths(tmp_path, "shop"),
        PipelineSpec.model_validate(
            SHOP | MERGED | {"tasks": SHOP["tasks"][:2], "recommendations": {"exclude": "nothing"}}
        ),
    )
    paths.sql.mkdir(parents=True)
    (paths.sql / "interactions.sql").write_text(SHOP_LOG)
    paths.raw.mkdir(parents=True)
    header = "visitor,product,at,click,purchase,stars,device,position"
    log = "\n".join([header, *lines, "1,a3,2026-01-20,1,1,,phone,1", ""])
    (paths.raw / "interactions.csv").write_text(log)
    build_table(paths, spec, "interactions")
    with build_candidates(paths, spec) as frames:
        assert pl.concat(rows_of(frames))["user_purchase_count"].unique().to_list() == [1]


@pytest.mark.parametrize("column", ["timestamp", "known_at"])
def test_times_that_are_text_are_named(tmp_path: Path, column: str) -> None:
    sql = SHOP_LOG.replace("device,", 'device, "at" AS known_at,')
    if column == "timestamp":
        sql = SHOP_LOG.replace('TRY_CAST("at" AS TIMESTAMP)', '"at"')
    header = "visitor,product,at,click,purchase,stars,device,position"
    with pytest.raises(
        UserError, match=rf"interactions.sql: {column} is VARCHAR, not a TIMESTAMP; see moment"
    ):
        prepare(tmp_path, sql, SHOP, header, shop_lines())
