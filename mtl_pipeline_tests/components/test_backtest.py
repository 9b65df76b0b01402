"""The backtest through a real Dagster instance: what it publishes, and that being killed costs one window."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from mtl_pipeline.checksums import write_checksums
from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.pipeline import define_pipeline
from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import ROOT_VARIABLE, PipelinePaths
from mtl_pipeline.spec import Backtest, PipelineSpec
from mtl_pipeline.spec.assets import backtest_version
from mtl_pipeline.vectors import write_vectors
from mtl_pipeline.warehouse.features.examples import build_examples
from mtl_pipeline.warehouse.tables import build_table
from mtl_pipeline.workflows.backtest import run_backtest
from mtl_pipeline.workflows.backtest_work import open_work
from mtl_pipeline_tests.components.people import PEOPLE, PEOPLE_SQL, write_people
from mtl_pipeline_tests.components.quick import quick_pipeline
from mtl_pipeline_tests.conftest import SMALL_SETTINGS, ids_of, write_tiny_pipeline
from mtl_pipeline_tests.faults.processes import PROCESSES

pytestmark = pytest.mark.usefixtures("quick")

WINDOWS = 2
FRAMES = ("metrics", "comparisons", "pooled")


def killed_in_the_second_window(root: Path) -> None:
    def log(line: str) -> None:
        if line.startswith("window 2 of 2: epoch 1.0"):
            os._exit(9)

    pipeline = quick_pipeline(root)
    run_backtest(pipeline.paths, pipeline.spec, windows=WINDOWS, log=log)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PipelineContext]:
    """Examples and random text vectors, made for real."""
    root = tmp_path_factory.mktemp("backtest") / "root"
    write_tiny_pipeline(root)
    pipeline = quick_pipeline(root)
    for table in pipeline.spec.tables:
        build_table(pipeline.paths, pipeline.spec, table)
    build_examples(pipeline.paths, pipeline.spec)
    for table in pipeline.spec.text_tables:
        ids = ids_of(pipeline.paths, pipeline.spec, table)
        vectors = np.random.default_rng(0).normal(size=(len(ids), 8)).astype(np.float32)
        hashes = pa.array([bytes(16)] * len(ids), pa.binary(16))
        metadata = {"encoder_fingerprint": "random", "encoder": "{}"}
        write_vectors(pipeline.paths.embeddings(table), ids, vectors, hashes, metadata)
    yield pipeline
    shutil.rmtree(root)


@dataclass(frozen=True)
class Materialized:
    metadata: Mapping[str, object]
    checks: dict[str, bool]


def materialize(pipeline: PipelineContext, windows: int) -> Materialized:
    """The asset alone, as `dagster asset materialize` makes it, with `windows` from the run's configuration."""
    key = pipeline.key("backtest")
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        patch.setenv(ROOT_VARIABLE, str(pipeline.paths.root))
        definitions = define_pipeline(pipeline.name, pipeline.spec)
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=[key],
            run_config={"ops": {f"{pipeline.name}__backtest": {"config": {"windows": windows}}}},
            raise_on_error=False,
        )
        failures = [str(event.step_failure_data.error) for event in result.get_step_failure_events()]
        assert result.success, failures
        event = instance.get_latest_materialization_event(key)
        assert event is not None
        assert event.asset_materialization is not None
        metadata = {name: value.value for name, value in event.asset_materialization.metadata.items()}
        checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    return Materialized(metadata, checks)


def published(pipeline: PipelineContext) -> dict[str, pl.DataFrame]:
    return {name: pl.read_parquet(pipeline.paths.backtest / f"{name}.parquet") for name in FRAMES}


def test_a_killed_backtest_goes_on_at_its_first_unfinished_window_and_ends_the_same(
    prepared: PipelineContext,
) -> None:
    whole = materialize(prepared, WINDOWS)
    assert whole.metadata["windows"] == WINDOWS
    assert whole.metadata["windows of earlier runs"] == 0
    assert whole.checks == {"windows_follow_time": True, "every_window_scored": True}
    first = published(prepared)

    shutil.rmtree(prepared.paths.backtest.resolve())
    prepared.paths.backtest.unlink()
    process = PROCESSES.Process(target=killed_in_the_second_window, args=(prepared.paths.root,))
    process.start()
    process.join()
    assert process.exitcode == 9
    assert not prepared.paths.backtest.exists()

    again = materialize(prepared, WINDOWS)
    assert again.metadata["windows of earlier runs"] == 1
    assert all(published(prepared)[name].equals(frame) for name, frame in first.items())
    assert [path.name for path in (prepared.paths.data / ".backtest_work").iterdir()] == ["lock"]


def test_what_is_published(prepared: PipelineContext) -> None:
    if not prepared.paths.backtest.exists():
        materialize(prepared, WINDOWS)
    frames = published(prepared)
    assert frames["metrics"]["window"].unique().sort().to_list() == [1, 2]
    models = {"constant", "popularity", "linear", "boosted_trees", "single_task", "multi_task"}
    assert set(frames["metrics"]["model"]) == models
    best = frames["comparisons"].filter("best_baseline").group_by("window", "task", "metric").len()
    assert best["len"].to_list() == [1] * best.height
    assert set(frames["pooled"]["baseline"]) == (models - {"multi_task"}) | {"best baseline"}
    windows = pl.read_parquet(prepared.paths.backtest / "windows.parquet")
    examples = pl.read_parquet(prepared.paths.examples / "examples.parquet")
    own = dict(examples["split"].value_counts().rows())
    last = windows.row(-1, named=True)
    assert last["is_test_split"]
    assert {split: last[f"{split}_rows"] for split in own} == own
    page = (prepared.paths.backtest / "report.html").read_text()
    assert "On liked, multi_task is" in page
    assert not re.search(r"(src|href)=.(?!#)", page)


def test_other_examples_begin_anew(prepared: PipelineContext, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(prepared.paths.root, root)
    pipeline = PipelineContext(prepared.name, prepared.spec, PipelinePaths(root, prepared.name))
    with suppress(Stopped), open_work(pipeline.paths, pipeline.spec, "two windows") as work:
        with work.finish(1) as folder:
            (folder / "scores").write_text("1")
        raise Stopped
    assert finished_windows(pipeline, "two windows") == [1]
    path = pipeline.paths.examples / "examples.parquet"
    other = pl.read_parquet(path).with_columns(pl.col("watched").shuffle(seed=0))
    path.unlink()
    other.write_parquet(path)
    write_checksums(path.parent)
    assert finished_windows(pipeline, "two windows") == []


def test_other_settings_are_another_backtest(prepared: PipelineContext) -> None:
    paths, spec = prepared.paths, prepared.spec
    training = spec.training.model_copy(update={"learning_rate": 0.5})
    other = spec.model_copy(update={"training": training})
    assert backtest_version(paths, spec, Backtest()) != backtest_version(paths, other, Backtest())
    assert backtest_version(paths, spec, Backtest()) != backtest_version(paths, spec, Backtest(windows=2))
    assert backtest_version(paths, spec, Backtest()) == backtest_version(paths, spec, Backtest())


def test_another_version_begins_anew_and_two_cannot_be_at_work(prepared: PipelineContext) -> None:
    version = "two windows"
    with suppress(Stopped), open_work(prepared.paths, prepared.spec, version) as work:
        with work.finish(1) as folder:
            (folder / "scores").write_text("1")
        with (
            pytest.raises(UserError, match="another backtest"),
            open_work(prepared.paths, prepared.spec, version),
        ):
            pass
        raise Stopped
    assert finished_windows(prepared, version) == [1]
    assert finished_windows(prepared, "three windows") == []
    assert finished_windows(prepared, version) == []


class Stopped(Exception):
    pass


def finished_windows(pipeline: PipelineContext, version: str) -> list[int]:
    """What a backtest of this version finds done; it is stopped at once."""
    found: list[int] = []
    with suppress(Stopped), open_work(pipeline.paths, pipeline.spec, version) as work:
        found += [window for window in (1, 2) if work.finished(window)]
        raise Stopped
    return found


def test_it_needs_the_examples(tmp_path: Path) -> None:
    pipeline = quick_pipeline(tmp_path)
    with pytest.raises(UserError, match="materialize examples first"):
        run_backtest(pipeline.paths, pipeline.spec)


def test_folds_of_every_kind_of_task_without_users_or_time(tmp_path: Path) -> None:
    root = tmp_path / "root"
    paths = PipelinePaths(root, "people")
    write_people(paths.raw / "interactions.csv", rows=900)
    paths.sql.mkdir(parents=True)
    (paths.sql / "interactions.sql").write_text(PEOPLE_SQL)
    small = {
        **SMALL_SETTINGS,
        "training": {"epochs": 1, "batch_size": 64},
        "evaluation": {"bootstrap_samples": 40, "backtest": {"windows": 2}},
    }
    pipeline = PipelineContext("people", PipelineSpec.model_validate(PEOPLE | small), paths)
    build_table(paths, pipeline.spec, "interactions")
    build_examples(paths, pipeline.spec)
    made = materialize(pipeline, 2)
    assert made.checks == {"folds_test_each_row_once": True, "every_window_scored": True}
    frames = published(pipeline)
    assert set(frames["pooled"]["task"]) == {"rich", "degree", "schooling", "jobs", "hours"}
    assert (
        frames["metrics"].filter(split="test", task="jobs", model="linear", metric="mae")["rows"].sum() == 900
    )
    assert "cross-validation" in (paths.backtest / "report.md").read_text()
