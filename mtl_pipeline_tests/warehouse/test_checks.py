"""Every check finds the fault that it is there for, and nothing in outputs that are right."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from mtl_pipeline.checksums import UNSEALED, seal, write_checksums
from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import publish_folder
from mtl_pipeline.spec import Recommendations
from mtl_pipeline.vectors import write_vectors
from mtl_pipeline.warehouse.checks import Check, run_checks
from mtl_pipeline.warehouse.checks.outputs import (
    baselines_checks,
    embedding_checks,
    evaluation_checks,
    examples_checks,
    model_checks,
    recommendations_checks,
)
from mtl_pipeline.warehouse.checks.tables import rejected_rows_checks, table_checks
from mtl_pipeline.warehouse.connection import open_warehouse
from mtl_pipeline.warehouse.features.examples import build_examples
from mtl_pipeline.warehouse.tables import TABLES, build_rejected_rows, build_table
from mtl_pipeline.warehouse.templates import quote_literal
from mtl_pipeline_tests.conftest import TinyPipeline, ids_of, write_tiny_pipeline

ROWS_READ = {"users": 64, "items": 83, "interactions": 1506}
DIMENSION = 4

RECOMMENDATIONS = """
    SELECT user_id, item_id, row_number() OVER (PARTITION BY user_id ORDER BY item_id) AS rank, 1 / rank AS score
    FROM users CROSS JOIN items ANTI JOIN interactions USING (user_id, item_id)
    QUALIFY rank <= 10
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> TinyPipeline:
    """Outputs that are right."""
    pipeline = write_tiny_pipeline(tmp_path_factory.mktemp("made") / "root")
    paths = pipeline.paths
    for table in TABLES:
        build_table(paths, pipeline.spec, table)
    build_rejected_rows(paths, pipeline.spec)
    build_examples(paths, pipeline.spec)
    for table in ("users", "items"):
        ids = ids_of(paths, pipeline.spec, table)
        hashes = pa.array([bytes(16)] * len(ids), pa.binary(16))
        write_vectors(paths.embeddings(table), ids, np.ones((len(ids), DIMENSION), np.float32), hashes, {})
    write_query(paths, RECOMMENDATIONS, paths.recommendations)
    return pipeline


@pytest.fixture
def pipeline(made: TinyPipeline, tmp_path: Path) -> TinyPipeline:
    """A copy to spoil."""
    shutil.copytree(made.root, tmp_path / "root", symlinks=True)
    return TinyPipeline(tmp_path / "root")


def write_query(paths: PipelinePaths, query: str, target: Path) -> None:
    """Replace a Parquet file by the result of a query that may read it."""
    with open_warehouse(paths.warehouse, read_only=True) as connection:
        frame = connection.sql(query).pl()
    frame.write_parquet(target, metadata=UNSEALED)
    if target.parent == paths.data:
        seal(target)
    else:
        write_checksums(target.parent)


GROWING = {"features_alike_in_every_split"}
"""Rightly fails on a log of a few hundred rows: what a user has done so far grows from split to split."""


def failing(pipeline: TinyPipeline, checks: Iterable[Check], rows_read: int = 0) -> set[str]:
    results = run_checks(pipeline.paths, list(checks), {"rows_read": rows_read})
    return {result.check.name for result in results if not result.passed}


def test_right_outputs_pass_every_check(made: TinyPipeline) -> None:
    for table in TABLES:
        assert failing(made, table_checks(made.spec, table), ROWS_READ[table]) == set()
    for table in ("users", "items"):
        assert failing(made, embedding_checks(made.paths, table)) == set()
    assert failing(made, rejected_rows_checks(made.spec)) == set()
    assert failing(made, examples_checks(made.paths, made.spec)) == GROWING
    assert failing(made, recommendations_checks(made.paths, made.spec)) == set()


@pytest.mark.parametrize(
    ("table", "fault", "found"),
    [
        ("users", "UPDATE users SET user_id = NULL WHERE user_id = 1", "keys_present"),
        ("users", "UPDATE users SET user_id = 2 WHERE user_id = 1", "keys_unique"),
        ("users", "DELETE FROM users WHERE user_id = 1", "every_row_accounted_for"),
        ("users", "DELETE FROM users_rejected WHERE line = 62", "every_row_accounted_for"),
        ("users", "UPDATE users SET text = ' ' WHERE user_id = 1", "texts_present"),
        ("interactions", "DELETE FROM users WHERE user_id = 1", "users_known"),
        ("interactions", "DELETE FROM items WHERE item_id = 1", "items_known"),
        ("interactions", "UPDATE interactions SET liked = 2 WHERE user_id = 1", "liked_labels_valid"),
        (
            "interactions",
            "ALTER TABLE interactions ALTER rating TYPE DOUBLE; UPDATE interactions SET rating = 'inf'",
            "rating_labels_valid",
        ),
    ],
)
def test_faults_of_tables(pipeline: TinyPipeline, table: str, fault: str, found: str) -> None:
    with open_warehouse(pipeline.paths.warehouse) as connection:
        connection.execute(fault)
    assert failing(pipeline, table_checks(pipeline.spec, table), ROWS_READ[table]) == {found}


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("UPDATE rejected_rows SET reason = NULL WHERE line = 62", "rejections_explained"),
        ("DELETE FROM items WHERE item_id > 20", "rejections_rare"),
    ],
)
def test_faults_of_rejected_rows(pipeline: TinyPipeline, fault: str, found: str) -> None:
    with open_warehouse(pipeline.paths.warehouse) as connection:
        connection.execute(fault)
    assert failing(pipeline, rejected_rows_checks(pipeline.spec)) == {found}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("SELECT * REPLACE (example_id + 1 AS example_id) FROM {}", "example_ids_consecutive"),
        (
            "SELECT * REPLACE (CASE WHEN split <> 'test' THEN rating END AS rating) FROM {}",
            "splits_not_empty",
        ),
        (
            "SELECT * REPLACE (CASE split WHEN 'train' THEN liked * 0 ELSE liked END AS liked) FROM {}",
            "labels_vary_in_train",
        ),
        (
            "SELECT * REPLACE (CASE split WHEN 'validation' THEN liked * 0 + 1 ELSE liked END AS liked) FROM {}",
            "labels_vary_in_validation_and_test",
        ),
        (
            "SELECT * REPLACE (CASE split WHEN 'test' THEN rating * 0 + 1 ELSE rating END AS rating) FROM {}",
            "labels_vary_in_validation_and_test",
        ),
        (
            "SELECT * REPLACE (CASE split WHEN 'test' THEN 'validation' WHEN 'validation' THEN 'test' "
            "ELSE split END AS split) FROM {}",
            "splits_in_order_of_time",
        ),
        (
            "SELECT * REPLACE (CASE WHEN watched = 0 THEN 1 ELSE liked END AS liked) FROM {}",
            "liked_only_given_watched",
        ),
        (
            "SELECT * REPLACE (first_value(item_id) OVER (PARTITION BY user_id ORDER BY watched DESC) "
            "AS item_id) FROM {} ORDER BY example_id",
            "negatives_never_met",
        ),
    ],
)
def test_faults_of_examples(pipeline: TinyPipeline, query: str, found: str) -> None:
    path = pipeline.paths.examples / "examples.parquet"
    write_query(pipeline.paths, query.format(quote_literal(path)), path)
    assert failing(pipeline, examples_checks(pipeline.paths, pipeline.spec)) == {found} | GROWING


def test_a_feature_of_other_values_in_test_is_named(pipeline: TinyPipeline) -> None:
    path = pipeline.paths.examples / "examples.parquet"
    (shift,) = (
        check
        for check in examples_checks(pipeline.paths, pipeline.spec)
        if check.name == "features_alike_in_every_split"
    )
    (before,) = run_checks(pipeline.paths, [shift])
    assert set(before.sample["feature"]) <= {"user_watched_count", "item_watched_count"}
    older = "SELECT * REPLACE (CASE split WHEN 'test' THEN age + 100 ELSE age END AS age) FROM {}"
    write_query(pipeline.paths, older.format(quote_literal(path)), path)
    assert not shift.blocking
    (result,) = run_checks(pipeline.paths, [shift])
    (age,) = result.sample.filter(pl.col("feature") == "age").to_dicts()
    assert age["split"] == "test"
    assert age["standard_deviations"] > 3


def test_one_class_blocks_in_train_alone(made: TinyPipeline) -> None:
    blocking = {check.name: check.blocking for check in examples_checks(made.paths, made.spec)}
    assert (blocking["labels_vary_in_train"], blocking["labels_vary_in_validation_and_test"]) == (True, False)


def test_statistics_that_are_not_finite(pipeline: TinyPipeline) -> None:
    path = pipeline.paths.examples / "statistics.parquet"
    pl.read_parquet(path).with_columns(standard_deviation=pl.lit(0.0)).write_parquet(path)
    write_checksums(path.parent)
    assert (
        failing(pipeline, examples_checks(pipeline.paths, pipeline.spec)) == {"statistics_finite"} | GROWING
    )


def test_faults_of_embeddings(pipeline: TinyPipeline) -> None:
    ids = ids_of(pipeline.paths, pipeline.spec, "items")
    vectors = np.ones((len(ids), DIMENSION), np.float32)
    vectors[3, 2] = np.nan
    hashes = pa.array([bytes(16)] * len(ids), pa.binary(16))
    write_vectors(pipeline.paths.embeddings("items"), ids, vectors, hashes, {})
    assert failing(pipeline, embedding_checks(pipeline.paths, "items")) == {"vectors_finite"}

    write_vectors(pipeline.paths.embeddings("items"), ids[:-1], np.ones_like(vectors)[:-1], hashes[:-1], {})
    assert failing(pipeline, embedding_checks(pipeline.paths, "items")) == {"one_vector_per_row"}

    for cosine, faults in ((0.9991, set()), (0.9989, {"vectors_as_exact_ones"})):
        measured = json.dumps({"cosine": cosine, "least_cosine": 0.5, "neighbours": 1.0, "wanted": 0.999})
        made = {"fidelity": measured}
        write_vectors(pipeline.paths.embeddings("items"), ids, np.ones_like(vectors), hashes, made)
        assert failing(pipeline, embedding_checks(pipeline.paths, "items")) == faults


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("FROM {} WHERE NOT (user_id = 1 AND rank = 10)", "ranks_complete"),
        ("FROM {} WHERE user_id <> 1", "ranks_complete"),
        (
            "SELECT * REPLACE (CASE WHEN rank = 3 THEN 'nan' ELSE score END AS score) FROM {}",
            "scores_fall_with_rank",
        ),
        ("SELECT * REPLACE (rank::DOUBLE AS score) FROM {}", "scores_fall_with_rank"),
        (
            "SELECT * REPLACE (seen AS item_id) FROM {} JOIN "
            "(SELECT user_id, item_id AS seen, row_number() OVER (PARTITION BY user_id) AS rank "
            "FROM interactions) USING (user_id, rank)",
            "none_excluded",
        ),
    ],
)
def test_faults_of_recommendations(pipeline: TinyPipeline, query: str, found: str) -> None:
    path = pipeline.paths.recommendations
    write_query(pipeline.paths, query.format(quote_literal(path)), path)
    assert failing(pipeline, recommendations_checks(pipeline.paths, pipeline.spec)) == {found}


def test_nobody_expects_items_that_are_no_longer_on_offer(pipeline: TinyPipeline) -> None:
    with open_warehouse(pipeline.paths.warehouse) as connection:
        connection.execute("ALTER TABLE items ADD COLUMN since TIMESTAMP")
        connection.execute("UPDATE items SET since = '1980-01-01' WHERE item_id > 3")
        connection.execute(
            "UPDATE items SET since = (SELECT max(timestamp) FROM interactions) WHERE item_id <= 3"
        )
    settings = {"available_from": "since", "recommendations": Recommendations(newest_days=1)}
    checks = list(recommendations_checks(pipeline.paths, pipeline.spec.model_copy(update=settings)))
    assert failing(pipeline, checks) == {"ranks_complete"}

    on_offer = RECOMMENDATIONS.replace("CROSS JOIN items", "CROSS JOIN (FROM items WHERE item_id <= 3)")
    write_query(pipeline.paths, on_offer, pipeline.paths.recommendations)
    assert failing(pipeline, checks) == set()


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_training_that_diverged(pipeline: TinyPipeline, loss: float) -> None:
    path = pipeline.paths.model / "training_log.json"
    path.parent.mkdir()
    rounds = [{"epoch": 1, "train_loss/watched": 0.5}, {"epoch": 2, "train_loss/watched": 0.4}]
    path.write_text(json.dumps(rounds))
    write_checksums(path.parent)
    assert failing(pipeline, model_checks(pipeline.paths, pipeline.spec)) == set()
    rounds[1]["train_loss/watched"] = loss
    path.write_text(json.dumps(rounds))
    write_checksums(path.parent)
    assert failing(pipeline, model_checks(pipeline.paths, pipeline.spec)) == {"losses_finite"}


def test_faults_of_baselines(pipeline: TinyPipeline) -> None:
    examples = pl.read_parquet(pipeline.paths.examples / "examples.parquet")
    right = examples.filter(pl.col("split") != "train").select(
        "example_id", pl.lit(0.5).alias("prediction/constant/watched")
    )
    path = pipeline.paths.baselines / "predictions.parquet"
    path.parent.mkdir()

    def found(predictions: pl.DataFrame) -> set[str]:
        predictions.write_parquet(path)
        write_checksums(path.parent)
        return failing(pipeline, baselines_checks(pipeline.paths, pipeline.spec))

    assert found(right) == set()
    assert found(right[1:]) == {"every_example_predicted"}
    assert found(pl.concat([right, right[:1]])) == {"every_example_predicted"}
    for value in (None, math.nan, math.inf):
        wrong = pl.when(pl.col("example_id") == right["example_id"][0]).then(value).otherwise(0.5)
        assert found(right.with_columns(wrong.alias("prediction/constant/liked"))) == {"predictions_finite"}


@pytest.mark.parametrize(
    ("comparisons", "passes"),
    [
        ([("champion", "worse"), ("constant", "better")], True),
        ([("champion", "better"), ("constant", "not shown to be worse")], False),
        ([("champion", "better"), ("constant", "incomparable")], False),
        ([("champion", "better")], False),
    ],
)
def test_model_that_is_not_shown_to_beat_a_constant(
    pipeline: TinyPipeline, comparisons: list[tuple[str, str]], passes: bool
) -> None:
    tasks = [task for task in pipeline.spec.tasks if task.name == "watched"]
    spec = pipeline.spec.model_copy(update={"tasks": tasks})
    lines = [
        {"task": task, "against": against, "outcome": outcome if task == "watched" else "better"}
        for task in ("watched", "liked")
        for against, outcome in comparisons
    ]
    with publish_folder(pipeline.paths.evaluation) as folder:
        (folder / "decision.json").write_text(json.dumps({"comparisons": lines}))
    expected = set() if passes else {"watched_beats_constant"}
    assert failing(pipeline, evaluation_checks(pipeline.paths, spec)) == expected


def test_offences_are_counted_and_shown(pipeline: TinyPipeline) -> None:
    with open_warehouse(pipeline.paths.warehouse) as connection:
        connection.execute("UPDATE users SET text = NULL WHERE user_id <= 9")
    results = run_checks(pipeline.paths, list(table_checks(pipeline.spec, "users")), {"rows_read": 64})
    (result,) = [result for result in results if not result.passed]
    assert result.offences == 9
    assert result.sample["user_id"].to_list() == [1, 2, 3, 4, 5]


def test_missing_output_says_what_to_do(pipeline: TinyPipeline) -> None:
    pipeline.paths.recommendations.unlink()
    with pytest.raises(UserError, match=r"parquet does not exist yet: materialize recommendations"):
        run_checks(pipeline.paths, list(recommendations_checks(pipeline.paths, pipeline.spec)))
