"""The tiny pipeline, made for real."""

from __future__ import annotations

import dagster as dg
import duckdb
import polars as pl
import pytest

from mtl_pipeline.champions import model_fingerprint
from mtl_pipeline.evaluation.studies.runs.history import read_records
from mtl_pipeline_tests.components.conftest import Project
from mtl_pipeline_tests.components.lineage import LINEAGE
from mtl_pipeline_tests.conftest import INTERACTIONS, quick_evaluations


@pytest.fixture(scope="module")
def quick() -> None:
    """Figures are drawn here."""


MADE = [asset for asset in LINEAGE if not asset.startswith("raw_")]


def test_every_planted_row_is_refused_for_its_reason(made_project: Project) -> None:
    with duckdb.connect(str(made_project.pipeline.paths.warehouse), read_only=True) as connection:
        rows = connection.execute('SELECT file, line, "column", reason FROM rejected_rows').fetchall()
    planted = [(row.file, line, row.column, row.reason) for row, line in made_project.pipeline.planted_lines]
    assert sorted(rows, key=str) == sorted(planted, key=str)


@pytest.mark.parametrize("asset", MADE)
def test_each_asset_can_be_made_alone_after_a_full_run(made_project: Project, asset: str) -> None:
    with quick_evaluations():
        result = made_project.run_or_fail(asset)
    assert materialized(result) == {asset}
    failed = {found.check_name for found in result.get_asset_check_evaluations() if not found.passed}
    # What a user has done so far grows from split to split in so short a log, and one epoch is soon over: of both a
    # check rightly warns.
    warned = {"examples": {"features_alike_in_every_split"}, "model": {"stopped_improving"}}
    assert failed == warned.get(asset, set())
    assert made_project.out_of_sync() == {}


def test_metadata_says_what_became_of_each_row(made_project: Project) -> None:
    metadata = made_project.metadata("users")
    assert metadata["rows read"] == 64
    assert metadata["dagster/row_count"] == 60
    assert metadata["rows rejected"] == 4
    assert "| user_id: duplicate | 1 |" in str(metadata["rejected because"])


def test_slices_and_ranked_lists_are_published_and_shown(made_project: Project) -> None:
    """Rows that have one value in every kind of slice add up to all test rows; a movie may have several genres."""
    folder = made_project.pipeline.paths.evaluation
    slices = pl.read_parquet(folder / "slices.parquet")
    assert set(slices["kind"]) == {"User", "Item", "Popularity", "genres", "Time"}
    test = pl.read_parquet(made_project.pipeline.paths.examples / "examples.parquet").filter(split="test")
    counted = (
        slices.filter(pl.col("task") == "watched", pl.col("kind") != "genres")
        .unique(["kind", "slice"])
        .group_by("kind")
    )
    assert set(counted.agg(pl.col("rows").sum())["rows"]) == {test.height}
    ranking = pl.read_parquet(folder / "ranking.parquet")
    assert ranking["list"].unique(maintain_order=True).to_list() == ["watched", "watched → liked"]
    metadata = made_project.metadata("evaluation")
    assert 0 < float(str(metadata["watched NDCG@10"])) <= 1
    assert "| known | watched |" in str(metadata["slices"])
    assert "### watched → liked: lists of" in str(metadata["ranked lists"])
    assert 0 < float(str(made_project.metadata("recommendations")["catalogue coverage"])) <= 1


def test_evaluating_the_same_again_is_one_point_of_the_history(made_project: Project) -> None:
    paths = made_project.pipeline.paths
    made_project.run_or_fail("evaluation")
    (record,) = read_records(paths.evaluation_history)
    assert record.model == model_fingerprint(paths.model)
    assert (record.champion, record.promoted) == (None, True)  # as when it was promoted
    assert record.examples
    assert record.rejected_rows["users user_id: duplicate"] == 1
    metadata = made_project.metadata("evaluation")
    for name in ("watched roc_auc", "watched log_loss", "rating rmse", "liked roc_auc minus single_task"):
        assert isinstance(metadata[name], float)
    report = (paths.evaluation / "report.html").read_text()
    assert report.count("<svg") == report.count("<figcaption") > 15


def test_what_explains_the_model_is_published_and_shown(made_project: Project) -> None:
    folder = made_project.pipeline.paths.evaluation
    importance, experts, errors = (
        pl.read_parquet(folder / f"{name}.parquet") for name in ("importance", "experts", "largest_errors")
    )
    groups = set(importance["group"])
    assert groups >= {"user id", "item text", "genres", "item_watched_count", "all history"}
    assert importance.height == 3 * len(groups)
    assert importance["importance"].is_finite().all()
    assert experts.height == 3 * 2
    assert errors.group_by("task").len()["len"].to_list() == [10, 10, 10]
    assert errors["item_text"].str.contains("Story").all()
    assert "| all history |" in str(made_project.metadata("evaluation")["importance"])
    report = (folder / "report.html").read_text()
    assert ">Some users<" in report
    assert ">Alike by text<" in report
    embeddings = made_project.metadata("item_embeddings")
    assert str(embeddings["nearest by text"]).count("Story") > 25
    assert 0 < float(str(embeddings["chance alike"])) <= 1
    assert "watched ~ liked" in report


def test_a_failed_blocking_check_stops_what_follows(project: Project) -> None:
    sql = project.pipeline.paths.sql / "interactions.sql"
    sql.write_text(sql.read_text().replace("1 AS watched", "2 AS watched"))
    result = project.run("users", "items", "interactions", "examples")
    assert not result.success
    (failed,) = [
        check for check in result.get_asset_check_evaluations() if not check.passed and check.blocking
    ]
    assert failed.check_name == "watched_labels_valid"
    assert failed.metadata["offences"].value == INTERACTIONS
    assert materialized(result) == {"users", "items", "interactions"}


def test_a_missing_file_is_a_failure_that_says_what_to_do(project: Project) -> None:
    path = project.pipeline.paths.raw / "users.csv"
    path.unlink()
    (failure,) = project.run("users").get_step_failure_events()
    assert failure.step_failure_data.user_failure_data is not None
    assert f"{path} is missing" in str(failure.step_failure_data.user_failure_data.description)


def materialized(result: dg.ExecuteInProcessResult) -> set[str]:
    return {key.path[-1] for event in result.get_asset_materialization_events() if (key := event.asset_key)}
