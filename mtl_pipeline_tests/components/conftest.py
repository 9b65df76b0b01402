"""The tiny pipeline as Dagster sees it, with an instance of its own."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.debug import DebugRunPayload
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS
from dagster._core.loader import LoadingContextForTest
from dagster._serdes import deserialize_value

from mtl_pipeline.components.pipeline import define_pipeline
from mtl_pipeline.paths import ROOT_VARIABLE
from mtl_pipeline_tests.components.orders import GOOD, HEADERS, PROVENANCE, REPOSITORY, SQL, Edit
from mtl_pipeline_tests.conftest import (
    PIPELINE,
    MakeOnce,
    TinyPipeline,
    quick_evaluations,
    write_tiny_pipeline,
)


@pytest.fixture(scope="module")
def quick() -> Iterator[None]:
    """A module that is to see figures has a fixture of this name that does nothing."""
    with quick_evaluations():
        yield


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


@pytest.fixture(scope="session")
def made_once(make_once: MakeOnce) -> Path:
    """The root of a project whose job has run, and its run as Dagster recorded it. Only to be copied."""

    def make(folder: Path) -> None:
        root = folder / "root"
        with (
            pytest.MonkeyPatch.context() as patch,
            quick_evaluations(),
            dg.DagsterInstance.ephemeral() as instance,
        ):
            patch.setenv(ROOT_VARIABLE, str(root))
            project = open_project(write_tiny_pipeline(root), instance)
            assert project.definitions.resolve_job_def(PIPELINE).execute_in_process(instance=instance).success
            record_runs(instance, folder)

    return make_once("made", make)


def record_runs(instance: dg.DagsterInstance, folder: Path) -> None:
    """Of their events, those about assets and checks: one in five, and all that is asked for later."""
    for number, run in enumerate(reversed(instance.get_runs())):
        recorded = DebugRunPayload.build(instance, run)
        events = [
            event
            for event in recorded.event_list
            if event.dagster_event_type in ASSET_EVENTS | ASSET_CHECK_EVENTS
        ]
        with (folder / f"run-{number}.json").open("wb") as file:
            recorded._replace(event_list=events).write(file)


@contextmanager
def open_copy(made: Path, root: Path) -> Iterator[Project]:
    """A project of its own, and an instance that knows the recorded runs."""
    shutil.copytree(made / "root", root, symlinks=True)
    runs = [deserialize_value(file.read_text(), DebugRunPayload) for file in sorted(made.glob("run-*.json"))]
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral(preload=runs) as instance:
        patch.setenv(ROOT_VARIABLE, str(root))
        yield open_project(TinyPipeline(root), instance)


@pytest.fixture(scope="module")
def made_project(made_once: Path, tmp_path_factory: pytest.TempPathFactory, quick: None) -> Iterator[Project]:
    """Everything made. Tests of a file share it, so they leave its raw files as they are."""
    with open_copy(made_once, tmp_path_factory.mktemp("made") / "root") as project:
        yield project


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the SQL and the raw files of the pipeline `orders`."""
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    for folder in ("sql/orders", "data/orders/raw"):
        (tmp_path / folder).mkdir(parents=True)
    for table, query in SQL.items():
        (tmp_path / f"sql/orders/{table}.sql").write_text(f"{query}{PROVENANCE}{table}\n")
        (tmp_path / f"data/orders/raw/{table}.csv").write_text(HEADERS[table] + "\n")
    return tmp_path


@pytest.fixture
def edit(root: Path, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """Write the good defs.yaml with one replacement; returns the package to load."""
    package = root / "shop"
    folder = package / "defs" / "orders"
    folder.mkdir(parents=True)
    for module in (package, package / "defs"):
        (module / "__init__.py").touch()
    settings = (REPOSITORY / "pyproject.toml").read_text().replace('"mtl_pipeline', '"shop')
    (root / "pyproject.toml").write_text(settings)
    monkeypatch.syspath_prepend(str(root))
    for name in [name for name in sys.modules if name.split(".")[0] == "shop"]:
        monkeypatch.delitem(sys.modules, name)

    def write(old: str, new: str) -> Path:
        assert old in GOOD
        (folder / "defs.yaml").write_text(GOOD.replace(old, new))
        return package

    return write
