"""Canonical tables: which rows are refused, and that a failure leaves the old table in place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mtl_pipeline.errors import UserError
from mtl_pipeline.spec.features import EntityFeatures
from mtl_pipeline.warehouse.checks import checks_by_asset, run_checks
from mtl_pipeline.warehouse.connection import open_warehouse
from mtl_pipeline.warehouse.tables import build_rejected_rows, build_table
from mtl_pipeline_tests.conftest import PLANTED_ROWS, TinyPipeline, write_tiny_pipeline
from mtl_pipeline_tests.faults.flips import flip


@pytest.fixture
def pipeline(tmp_path: Path) -> TinyPipeline:
    """Users and items are made."""
    pipeline = write_tiny_pipeline(tmp_path / "root")
    for table in ("users", "items"):
        build_table(pipeline.paths, pipeline.spec, table)
    return pipeline


def query(pipeline: TinyPipeline, sql: str) -> list[tuple]:
    with open_warehouse(pipeline.paths.warehouse, read_only=True) as connection:
        return connection.execute(sql).fetchall()


def write_ratings(pipeline: TinyPipeline, *rows: str) -> None:
    (pipeline.paths.raw / "ratings.csv").write_text("user_id,movie_id,rating,timestamp\n" + "\n".join(rows))


def test_every_planted_row_is_rejected_with_its_line_and_content(pipeline: TinyPipeline) -> None:
    build_table(pipeline.paths, pipeline.spec, "interactions")
    summary = build_rejected_rows(pipeline.paths, pipeline.spec)
    rejected = query(pipeline, 'SELECT file, line, content, "column", reason FROM rejected_rows')
    expected = [(row.file, line, row.content, row.column, row.reason) for row, line in pipeline.planted_lines]
    key = str
    assert sorted(rejected, key=key) == sorted(expected, key=key)
    assert summary.rows == len(PLANTED_ROWS)


def test_of_rows_with_one_key_the_first_good_one_wins(pipeline: TinyPipeline) -> None:
    write_ratings(
        pipeline, "1,1,9,880000000", "1,1,3,880000001", "2,1,4,880000000", "1,1,5,880000000", "1,1,3,1"
    )
    build_table(pipeline.paths, pipeline.spec, "interactions")
    kept = query(pipeline, "SELECT user_id, source_line FROM interactions ORDER BY ALL")
    assert kept == [(1, 3), (2, 4)]
    rejected = query(pipeline, "SELECT line, reason FROM interactions_rejected ORDER BY line")
    assert rejected == [(2, "outside 1 to 5"), (5, "duplicate"), (6, "duplicate")]


def test_where_rows_have_no_id_their_line_may_be_the_key(pipeline: TinyPipeline) -> None:
    spec = pipeline.spec.model_copy(update={"interaction_key": ["source_file", "source_line"]})
    write_ratings(pipeline, "1,1,3,880000001", "1,1,9,880000001", "1,1,3,880000001")
    build_table(pipeline.paths, spec, "interactions")
    assert query(pipeline, "SELECT source_line FROM interactions ORDER BY ALL") == [(2,), (4,)]


def test_references_to_unknown_rows(pipeline: TinyPipeline) -> None:
    write_ratings(
        pipeline,
        "777,1,4,880000000",
        "1,888,4,880000000",
        "777,888,4,880000000",
        "777,1,4,880000000",
        "1,1,4,1",
    )
    build_table(pipeline.paths, pipeline.spec, "interactions")
    assert query(pipeline, "SELECT source_line FROM interactions") == [(6,)]
    rejected = query(pipeline, 'SELECT line, "column", reason FROM interactions_rejected ORDER BY line')
    assert rejected == [
        (2, "user_id", "unknown user"),
        (3, "item_id", "unknown item"),
        (4, "user_id", "unknown user"),
        (5, "user_id", "unknown user"),
    ]


def test_missing_keys_are_named(pipeline: TinyPipeline) -> None:
    lenient = (
        (pipeline.paths.sql / "interactions.sql").read_text().replace("unless_whole_number(user_id),", "")
    )
    (pipeline.paths.sql / "interactions.sql").write_text(lenient)
    write_ratings(pipeline, "x,1,4,880000000", "x,1,4,880000000", "1,1,4,880000000")
    build_table(pipeline.paths, pipeline.spec, "interactions")
    rejected = query(pipeline, 'SELECT line, "column", reason FROM interactions_rejected ORDER BY line')
    assert rejected == [(2, "user_id", "missing"), (3, "user_id", "missing")]


def test_the_old_table_stays_when_the_new_sql_fails(pipeline: TinyPipeline) -> None:
    before = query(pipeline, "FROM users ORDER BY user_id")
    (pipeline.paths.sql / "users.sql").write_text(
        "SELECT user_id::INTEGER AS user_id, 'x' AS text, gender, occupation, zip_code AS zip_region, age, "
        "source_file, source_line, NULL AS rejection FROM raw_users"
    )
    with pytest.raises(UserError, match=r"users\.sql failed on .*users\.csv \(its columns: user_id, age, "):
        build_table(pipeline.paths, pipeline.spec, "users")
    assert query(pipeline, "FROM users ORDER BY user_id") == before


def test_sql_that_lacks_columns_is_refused_with_their_names(pipeline: TinyPipeline) -> None:
    (pipeline.paths.sql / "users.sql").write_text(
        "SELECT user_id, age, source_file, source_line FROM raw_users"
    )
    with pytest.raises(
        UserError, match=r"must deliver the column.* text, gender, occupation, zip_region, rejection; it"
    ):
        build_table(pipeline.paths, pipeline.spec, "users")


def test_same_content_gives_the_same_fingerprint(pipeline: TinyPipeline) -> None:
    first = build_table(pipeline.paths, pipeline.spec, "users")
    assert build_table(pipeline.paths, pipeline.spec, "users") == first


def test_memory_limit_and_threads_reach_the_warehouse(pipeline: TinyPipeline) -> None:
    settings = pipeline.spec.warehouse.model_copy(update={"memory_limit": "300MiB", "threads": 1})
    with open_warehouse(pipeline.paths.warehouse, settings=settings) as connection:
        applied = connection.execute(
            "SELECT current_setting('memory_limit'), current_setting('threads')"
        ).fetchall()
    assert applied == [("172.0 MiB", 1)], "128 MiB are left for what DuckDB does not count"


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: [flip(path, bit) for bit in range(8 * 12_288, 8 * path.stat().st_size, 8 * 4_096)],
        lambda path: flip(path, 8 * 5_000),
        lambda path: path.write_bytes(path.read_bytes()[:20_000]),
        lambda path: path.write_bytes(b""),
    ],
    ids=["blocks", "header", "truncated", "empty"],
)
def test_a_damaged_warehouse_says_what_to_do(
    pipeline: TinyPipeline, damage: Callable[[Path], object]
) -> None:
    path = pipeline.paths.warehouse
    damage(path)
    what_to_do = (
        r"warehouse.duckdb is damaged: remove it, and warehouse.duckdb.wal .*materialize users, items"
    )
    with pytest.raises(UserError, match=what_to_do):
        query(pipeline, "SELECT sum(hash(users)) FROM users")
    with pytest.raises(UserError, match=what_to_do):
        build_table(pipeline.paths, pipeline.spec, "interactions")
    path.unlink()
    build_table(pipeline.paths, pipeline.spec, "users")


def test_interactions_before_users_and_items(tmp_path: Path) -> None:
    pipeline = write_tiny_pipeline(tmp_path / "root")
    with pytest.raises(UserError, match="refers to users and items: materialize users and items first"):
        build_table(pipeline.paths, pipeline.spec, "interactions")


def test_users_derived_from_the_log_are_not_rejected_for_coming_again(pipeline: TinyPipeline) -> None:
    raw = pipeline.spec.raw.model_copy(update={"users": "ratings.csv", "derived": ["users"]})
    features = pipeline.spec.features.model_copy(
        update={"users": EntityFeatures(text=None, numeric=["stars"])}
    )
    spec = pipeline.spec.model_copy(update={"raw": raw, "features": features})
    (pipeline.paths.sql / "users.sql").write_text(
        "SELECT whole_number(user_id) AS user_id, decimal_number(rating, 1, 5) AS stars, source_file, source_line, "
        "coalesce(unless_whole_number(user_id), unless_decimal_number(rating, 1, 5)) AS rejection FROM raw_users"
    )
    write_ratings(pipeline, "1,1,9,1", "1,1,3,1", "2,1,4,1", ",1,4,1", "1,2,5,1", "1,3,5,1")
    summary = build_table(pipeline.paths, spec, "users")
    assert query(pipeline, "SELECT user_id, stars, source_line, source_rows FROM users ORDER BY ALL") == [
        (1, 3, 3, 3),
        (2, 4, 4, 1),
    ]
    assert query(pipeline, "SELECT line, reason FROM users_rejected ORDER BY line") == [
        (2, "outside 1 to 5"),
        (5, "missing"),
    ]
    assert (summary.rows_read, summary.rows_kept, summary.rows_merged, summary.rows_rejected) == (6, 2, 2, 2)
    assert all(
        result.passed
        for result in run_checks(
            pipeline.paths, checks_by_asset(pipeline.paths, spec)["users"], {"rows_read": 6}
        )
    )

    build_table(pipeline.paths, spec, "interactions")
    build_rejected_rows(pipeline.paths, spec)
    result = next(
        result
        for result in run_checks(pipeline.paths, checks_by_asset(pipeline.paths, spec)["rejected_rows"])
        if result.check.name == "rejections_rare"
    )
    of_users = result.sample.filter(source_table="users")
    assert dict(of_users.select("reason", "share").iter_rows()) == {
        "missing": "16.7 %",
        "outside 1 to 5": "16.7 %",
    }, "of six lines, not of two users"


def test_an_interaction_without_a_time_is_rejected_whatever_its_key(pipeline: TinyPipeline) -> None:
    """It would lie in no split, and so in train."""
    sql = pipeline.paths.sql / "interactions.sql"
    sql.write_text(sql.read_text().replace("'seconds')\n    )", "'seconds', optional := true)\n    )"))
    spec = pipeline.spec.model_copy(update={"interaction_key": ["user_id", "item_id"]})
    write_ratings(pipeline, "1,1,3,880000001", "2,1,3,")
    build_table(pipeline.paths, spec, "interactions")
    assert query(pipeline, 'SELECT line, "column", reason FROM interactions_rejected') == [
        (3, "timestamp", "missing")
    ]


def test_the_key_that_needs_a_time_is_named(pipeline: TinyPipeline) -> None:
    sql = pipeline.paths.sql / "interactions.sql"
    sql.write_text(sql.read_text().replace("moment(timestamp, 'seconds') AS timestamp,", ""))
    with pytest.raises(
        UserError, match=r"must deliver .* timestamp \(features.history needs a time\).*sql-contract"
    ):
        build_table(pipeline.paths, pipeline.spec, "interactions")
