"""The search for settings as an asset: asked for by itself, never by a nightly run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dagster as dg
import polars as pl
import pytest
import yaml

from mtl_pipeline.checksums import write_checksums
from mtl_pipeline.components.pipeline import define_pipeline
from mtl_pipeline.learning.tuning.search import one_at_a_time
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.checks import run_checks
from mtl_pipeline.warehouse.checks.studies import tuning_checks
from mtl_pipeline_tests.components.conftest import Project
from mtl_pipeline_tests.conftest import PIPELINE

TRAINING = {"epochs": 1, "batch_size": 512}
SPACE = {
    "trials": 3,
    "architectures": ["shared_bottom", "mmoe"],
    "hidden": [[8], [16]],
    "experts": [2, 3],
    "batch_size": [512],
}


@pytest.fixture(scope="module")
def tuned(made_project: Project) -> Project:
    """The made project, its search declared small."""
    attributes = made_project.pipeline.spec.model_dump(mode="json", exclude_unset=True)
    spec = PipelineSpec.model_validate(attributes | {"tuning": SPACE, "training": TRAINING})
    return replace(made_project, definitions=define_pipeline(PIPELINE, spec))


def search(project: Project, **config: Any) -> dg.ExecuteInProcessResult:
    return project.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=project.instance,
        asset_selection=[dg.AssetKey([PIPELINE, "tuning"])],
        run_config={"ops": {f"{PIPELINE}__tuning": {"config": config}}},
        raise_on_error=False,
    )


def test_a_run_of_everything_leaves_the_search_alone(made_project: Project) -> None:
    assert not (made_project.pipeline.paths.tuning / "trials.parquet").exists()
    job = made_project.definitions.resolve_job_def(PIPELINE)
    assert dg.AssetKey([PIPELINE, "tuning"]) not in job.asset_layer.executable_asset_keys
    (schedule,) = made_project.definitions.schedules or []
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert schedule.job_name == PIPELINE


def test_the_asset_searches_publishes_and_goes_on(tuned: Project) -> None:
    result = search(tuned, trials=1)
    assert result.success
    assert {check.check_name: check.passed for check in result.get_asset_check_evaluations()} == {
        "budgets_equal": True,
        "present_settings_complete": True,
    }
    metadata = tuned.metadata("tuning")
    assert (metadata["trials"], metadata["trials of earlier runs"]) == (2, 0)
    assert 0 < float(str(metadata["present score"])) < 1.5

    assert tuned.run_or_fail("tuning").success
    metadata = tuned.metadata("tuning")
    assert (metadata["trials"], metadata["trials of earlier runs"]) == (6, 2)
    assert "## Verdict" in str(metadata["report"])
    folder = tuned.pipeline.paths.tuning
    files = ["SHA256SUMS", "best.yaml", "report.html", "report.md", "trials.parquet"]
    assert folder.is_symlink(), "so that the four are replaced together"
    assert sorted(path.name for path in folder.iterdir()) == files
    assert pl.read_parquet(folder / "trials.parquet").height == 6
    assert (folder / "report.md").read_text() == metadata["report"]
    assert "Equal budgets: 3 trials for each architecture" in (folder / "report.html").read_text()
    best = yaml.safe_load((folder / "best.yaml").read_text())
    adopted = tuned.pipeline.spec.model_dump(mode="json", exclude_unset=True) | best
    assert PipelineSpec.model_validate(adopted).model.architecture == best["model"]["architecture"]


def test_while_another_search_runs_nothing_is_published(tuned: Project) -> None:
    paths = tuned.pipeline.paths
    before = paths.tuning.resolve()
    with one_at_a_time(paths.tuning_study):
        assert not search(tuned, trials=1).success
    assert paths.tuning.resolve() == before


def test_no_trials_are_refused(tuned: Project) -> None:
    assert not search(tuned, trials=0).success


def test_unequal_budgets_are_no_comparison(tuned: Project) -> None:
    """Run last: it spoils the trials."""
    paths = tuned.pipeline.paths
    path = paths.tuning / "trials.parquet"
    pl.read_parquet(path).filter(
        (pl.col("architecture") == "shared_bottom") & (pl.col("trial") > 0)
    ).write_parquet(path)
    write_checksums(paths.tuning)
    results = run_checks(paths, list(tuning_checks(paths, tuned.pipeline.spec)))
    assert {result.check.name: result.offences for result in results} == {
        "budgets_equal": 2,  # mmoe and ple, which the pipeline itself declares too, have none left
        "present_settings_complete": 1,
    }
