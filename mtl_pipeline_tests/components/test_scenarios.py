"""The simulated pipelines from raw files to recommendations, small, for real."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import duckdb
import polars as pl
import pytest
import yaml

from mtl_pipeline.components.pipeline import define_pipeline
from mtl_pipeline.paths import ROOT_VARIABLE, PipelinePaths
from mtl_pipeline.simulation import SCENARIOS, simulate
from mtl_pipeline_tests.conftest import REPOSITORY, small_spec

pytestmark = pytest.mark.usefixtures("quick")

INTERACTIONS = 10_000


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_from_raw_files_to_recommendations(
    scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    shutil.copytree(REPOSITORY / "sql", tmp_path / "sql")
    paths = PipelinePaths(tmp_path, scenario)
    summary = simulate(scenario, paths.data, interactions=INTERACTIONS, seed=1)
    declared = yaml.safe_load((REPOSITORY / f"mtl_pipeline/defs/{scenario}/defs.yaml").read_text())
    spec = small_spec(declared["attributes"], training={"epochs": 2, "batch_size": 512})

    definitions = define_pipeline(scenario, spec)
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def(scenario).execute_in_process(
            instance=instance, raise_on_error=False
        )
    assert result.success, [str(event.step_failure_data.error) for event in result.get_step_failure_events()]

    with duckdb.connect(str(paths.warehouse), read_only=True) as connection:
        rejected = connection.execute(
            'SELECT file, "column", reason, count(*) FROM rejected_rows GROUP BY ALL'
        ).fetchall()
    planted = [(row.file, row.column, row.reason, row.rows) for row in summary.planted if row.rows]
    assert sorted(rejected, key=str) == sorted(planted, key=str)

    metrics = pl.read_parquet(paths.evaluation / "metrics.parquet")
    assert "ceiling" in metrics["model"].unique()
    assert "ceiling" in (paths.evaluation / "report.html").read_text().lower()
    recommendations = pl.read_parquet(paths.recommendations)
    assert {task.name for task in spec.tasks} <= set(recommendations.columns)
    assert {f"{task}_entire_space" for task in spec.entire_space_tasks} <= set(recommendations.columns)
