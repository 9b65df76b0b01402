"""What the code location offers, and that looking at it costs little."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from mtl_pipeline.components.assets.baselines import baselines_asset
from mtl_pipeline.components.assets.model import model_asset
from mtl_pipeline.definitions import defs
from mtl_pipeline_tests.components.lineage import LINEAGE, STUDIES
from mtl_pipeline_tests.components.quick import quick_pipeline

HEAVY = {"torch", "transformers", "sklearn", "matplotlib", "optuna"}


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return defs()


@pytest.fixture(scope="module")
def repository(definitions: dg.Definitions) -> dg.RepositoryDefinition:
    return definitions.get_repository_def()


def test_loading_imports_neither_torch_nor_its_friends() -> None:
    code = "import sys, mtl_pipeline.definitions as d; d.defs().get_repository_def(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not HEAVY & set(loaded.split())


def test_lineage_is_the_one_in_the_readme(repository: dg.RepositoryDefinition) -> None:
    graph = repository.asset_graph
    assert {
        key.path[-1]: {parent.path[-1] for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
        if key.path[0] == "movielens"
    } == LINEAGE | STUDIES | {"examples": LINEAGE["examples"] | {"item_embeddings"}}


def test_a_pipeline_is_one_group_and_its_studies_another(repository: dg.RepositoryDefinition) -> None:
    graph = repository.asset_graph
    for key in graph.get_all_asset_keys():
        pipeline, asset = key.path
        assert graph.get(key).group_name == (f"{pipeline}_studies" if asset in STUDIES else pipeline)


def test_every_asset_is_described_versioned_and_checked(repository: dg.RepositoryDefinition) -> None:
    graph = repository.asset_graph
    checked = {check.asset_key for check in graph.asset_check_keys}
    for key in graph.materializable_asset_keys:
        asset = graph.get(key)
        assert asset.description, key
        assert asset.code_version, key
        assert asset.kinds, key
        assert key in checked, key


def test_another_guard_makes_another_model_of_the_same_baselines(tmp_path: Path) -> None:
    pipeline = quick_pipeline(tmp_path)
    training = pipeline.spec.training.model_copy(update={"hedge": False})
    other = replace(pipeline, spec=pipeline.spec.model_copy(update={"training": training}))
    for asset, same in ((baselines_asset, True), (model_asset, False)):
        before, after = (list(asset(each).code_versions_by_key.values()) for each in (pipeline, other))
        assert (before == after) == same


def test_every_check_says_what_must_hold(repository: dg.RepositoryDefinition) -> None:
    graph = repository.asset_graph
    specs = {key: graph.get_check_spec(key) for key in graph.asset_check_keys}
    assert all(spec.description for spec in specs.values())
    warnings = {
        f"{key.asset_key.path[-1]}/{key.name}"
        for key, spec in specs.items()
        if key.asset_key.path[0] == "movielens" and not spec.blocking
    }
    assert warnings == {
        "users/texts_present",
        "items/texts_present",
        "interactions/liked_follows_watched",
        "rejected_rows/rejections_explained",
        "rejected_rows/rejections_rare",
        "examples/features_alike_in_every_split",
        "examples/no_feature_tells_the_label",
        "examples/labels_vary_in_validation_and_test",
        "model/stopped_improving",
        "evaluation/watched_beats_constant",
        "evaluation/liked_beats_constant",
        "evaluation/rating_beats_constant",
        "champion/challenger_promoted",
        "recommendations/possible_coverage",
        "recommendations/same_first_item",
        "recommendations/popularity_overlap",
        "recommendations/untrained_items",
        "recommendations/untrained_users",
        "tuning/present_settings_complete",
        "backtest/every_window_scored",
    }


def test_the_nightly_run_is_ready_but_stopped(repository: dg.RepositoryDefinition) -> None:
    schedule = repository.get_schedule_def("movielens_nightly")
    assert schedule.cron_schedule == "0 2 * * *"
    assert schedule.execution_timezone == "UTC"
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    assert schedule.job_name == "movielens"


def test_the_job_observes_raw_files_and_makes_the_rest(repository: dg.RepositoryDefinition) -> None:
    job = repository.get_job("movielens")
    assert {key.path[-1] for key in job.asset_layer.executable_asset_keys} == set(LINEAGE)
    assert job.executor_def is dg.in_process_executor
