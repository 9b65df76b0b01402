"""The tiny pipeline as Dagster sees it, with an instance of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from mtl_pipeline.components.pipeline import define_pipeline
from mtl_pipeline_tests.conftest import PIPELINE, TinyPipeline, write_tiny_pipeline


@dataclass(frozen=True)
class Project:
    """A tiny pipeline, its definitions, and the instance that remembers its runs."""

    pipeline: TinyPipeline
    definitions: dg.Definitions
    instance: dg.DagsterInstance

    def run(self, *assets: str) -> dg.ExecuteInProcessResult:
        """Materialize or observe these assets and run their checks; without any, all of the pipeline's group that can
        be materialized."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        graph = self.definitions.resolve_asset_graph()
        keys = [dg.AssetKey([PIPELINE, asset]) for asset in assets] or sorted(
            key for key in graph.materializable_asset_keys if graph.get(key).group_name == PIPELINE
        )
        return job.execute_in_process(instance=self.instance, asset_selection=keys, raise_on_error=False)

    def run_or_fail(self, *assets: str) -> dg.ExecuteInProcessResult:
        result = self.run(*assets)
        failures = [str(event.step_failure_data.error) for event in result.get_step_failure_events()]
        assert result.success, failures
        return result

    def out_of_sync(self) -> dict[str, list[str]]:
        """Assets that Dagster shows as unsynced, with the assets or reasons that made them so."""
        graph = self.definitions.resolve_asset_graph()
        resolver = CachingStaleStatusResolver(
            instance=self.instance,
            asset_graph=graph,
            loading_context=LoadingContextForTest(self.instance),
        )
        causes = {key.path[-1]: resolver.get_stale_causes(key) for key in graph.get_all_asset_keys()}
        return {
            asset: [
                cause.dependency.asset_key.path[-1] if cause.dependency else cause.reason for cause in found
            ]
            for asset, found in causes.items()
            if found
        }

    def metadata(self, asset: str) -> dict[str, object]:
        event = self.instance.get_latest_materialization_event(dg.AssetKey([PIPELINE, asset]))
        assert event is not None
        assert event.asset_materialization is not None
        return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def open_project(pipeline: TinyPipeline, instance: dg.DagsterInstance) -> Project:
    return Project(pipeline, define_pipeline(PIPELINE, pipeline.spec), instance)


@pytest.fixture
def project(tiny_pipeline: TinyPipeline) -> Iterator[Project]:
    """Nothing made yet."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield open_project(tiny_pipeline, instance)


@pytest.fixture(scope="module")
def made_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Everything made once. Tests share it, so they leave its raw files as they are."""
    root = tmp_path_factory.mktemp("made") / "root"
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        pipeline = write_tiny_pipeline(root)
        patch.setenv("MTL_PIPELINE_ROOT", str(root))
        made = open_project(pipeline, instance)
        made.run_or_fail()
        yield made
    shutil.rmtree(root)
