"""Pipelines of other shapes, from raw file to report: without users, items, text or time, and with one task alone."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from mtl_pipeline.components.pipeline import define_pipeline
from mtl_pipeline.paths import ROOT_VARIABLE, PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline_tests.components.people import PEOPLE, PEOPLE_SQL, write_people
from mtl_pipeline_tests.conftest import SMALL_SETTINGS, quick_evaluations, small_spec


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "root"
    monkeypatch.setenv(ROOT_VARIABLE, str(root))
    return root


def run(name: str, spec: PipelineSpec) -> set[str]:
    """Make everything; the assets made."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = (
            define_pipeline(name, spec)
            .resolve_job_def(name)
            .execute_in_process(instance=instance, raise_on_error=False)
        )
    assert result.success, [str(event.step_failure_data.error) for event in result.get_step_failure_events()]
    return {key.path[-1] for event in result.get_asset_materialization_events() if (key := event.asset_key)}


def test_every_kind_of_task_without_users_items_text_or_time(root: Path) -> None:
    paths = PipelinePaths(root, "people")
    write_people(paths.raw / "interactions.csv")
    paths.sql.mkdir(parents=True)
    (paths.sql / "interactions.sql").write_text(PEOPLE_SQL)
    training = {"epochs": 5, "batch_size": 512, "learning_rate": 0.003}
    made = run("people", small_spec(PEOPLE, training=training))
    assert made == {
        "interactions",
        "rejected_rows",
        "examples",
        "model",
        "baselines",
        "evaluation",
        "champion",
    }

    metrics = pl.read_parquet(paths.evaluation / "metrics.parquet").filter(pl.col("split") == "test")

    def score(task: str, metric: str, model: str = "multi_task") -> float:
        return metrics.filter(task=task, metric=metric, model=model)["value"].item()

    assert score("rich", "roc_auc") > 0.85
    assert score("degree", "accuracy") > score("degree", "accuracy", "constant") + 0.2
    unordered = score("schooling", "ranked_probability_score", "constant")
    assert score("schooling", "ranked_probability_score") < 0.7 * unordered
    assert score("jobs", "poisson_deviance") < 0.9 * score("jobs", "poisson_deviance", "constant")
    assert score("hours", "rmse") < 0.7 * score("hours", "rmse", "constant")

    report = (paths.evaluation / "report.html").read_text()
    assert report.count("<svg") == report.count("<figcaption") > 15
    importance = pl.read_parquet(paths.evaluation / "importance.parquet")
    assert set(importance["group"]) == {"age", "town", "all interaction features"}
    assert (importance["importance"] > 0).all()
    errors = pl.read_parquet(paths.evaluation / "largest_errors.parquet")
    assert not {"user_id", "item_id", "item_text"} & set(errors.columns)


def test_one_task_alone_has_no_conflict_and_is_explained_all_the_same(root: Path) -> None:
    paths = PipelinePaths(root, "people")
    write_people(paths.raw / "interactions.csv", rows=1_000)
    paths.sql.mkdir(parents=True)
    (paths.sql / "interactions.sql").write_text(PEOPLE_SQL)
    alone = PEOPLE | {"tasks": [{"name": "rich", "kind": "binary"}]}
    shared = SMALL_SETTINGS["model"] | {"architecture": "shared_bottom"}
    with quick_evaluations():
        run("people", small_spec(alone, model=shared))

    assert "gradient_cosine" not in (paths.model / "training_log.json").read_text()
    assert pl.read_parquet(paths.evaluation / "experts.parquet").is_empty()
    assert pl.read_parquet(paths.evaluation / "importance.parquet").height == 3
    report = (paths.evaluation / "report.html").read_text()
    assert ">Features<" in report
    assert "Task conflict" not in report
