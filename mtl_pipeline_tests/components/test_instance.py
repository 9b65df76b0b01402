"""What dagster.yaml promises, on a real instance that loads it: killed runs end, and trainings wait in line."""

from __future__ import annotations

import logging
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg
import pytest
from dagster._cli.job import _create_run
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES
from dagster._core.test_utils import freeze_time
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget, ModuleTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._daemon.sensor import execute_sensor_iteration

from mtl_pipeline.instance import fail_lost_runs, is_alive, main
from mtl_pipeline.paths import ROOT_VARIABLE
from mtl_pipeline_tests.components import tiny_location, two_pipelines
from mtl_pipeline_tests.components.conftest import open_project
from mtl_pipeline_tests.conftest import PIPELINE, REPOSITORY, TinyPipeline, write_tiny_pipeline

SECONDS_TO_START = 60
STARTED = dg.DagsterRunStatus.STARTED
FAILED = dg.DagsterRunStatus.FAILURE
QUEUED = dg.DagsterRunStatus.QUEUED
CANCELED = dg.DagsterRunStatus.CANCELED
SUCCEEDED = dg.DagsterRunStatus.SUCCESS


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyPipeline]:
    root = tmp_path_factory.mktemp("pipeline") / "root"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ROOT_VARIABLE, str(root))
        yield write_tiny_pipeline(root)


@pytest.fixture(scope="module")
def instance(
    pipeline: TinyPipeline, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dg.DagsterInstance]:
    """A lasting instance with the checkout's own dagster.yaml, and a limit on trainings. Each test ends its runs."""
    home = tmp_path_factory.mktemp("home")
    shutil.copy(REPOSITORY / "dagster.yaml", home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        main()
        with dg.DagsterInstance.get() as lasting:
            yield lasting


@pytest.fixture(scope="module")
def workspace(instance: dg.DagsterInstance) -> Iterator[WorkspaceProcessContext]:
    """Both pipelines, served by one process for all tests: it takes seconds to start."""
    module = two_pipelines.__name__
    target = ModuleTarget(module, attribute=None, working_directory=str(REPOSITORY), location_name=None)
    with WorkspaceProcessContext(instance, target) as served:
        yield served


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def at_work(instance: dg.DagsterInstance) -> Iterator[tuple[subprocess.Popen, str]]:
    """A real run of everything from the command line, in the middle of it, and its id."""
    command = ["dagster", "asset", "materialize", "-m", tiny_location.__name__]
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--select", f"group:{PIPELINE}"],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        started = dg.RunsFilter(statuses=[STARTED])
        wait_for(lambda: instance.get_runs(filters=started))
        (run,) = instance.get_runs(filters=started)
        yield process, run.run_id
    finally:
        kill(process)


def kill(process: subprocess.Popen) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_the_daemon_beside_the_ui_notices_a_killed_run_whoever_launched_it(
    instance: dg.DagsterInstance,
) -> None:
    assert instance.run_monitoring_enabled

    def look() -> None:
        with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as workspace:
            errors = execute_run_monitoring_iteration(workspace, logging.getLogger("monitoring"))
            assert not any(errors)

    with at_work(instance) as (process, run_id):
        look()
        assert status(instance, run_id) == STARTED
        kill(process)
        look()
    assert status(instance, run_id) == FAILED


def test_a_process_that_took_over_a_number_is_not_the_one_before() -> None:
    process = subprocess.Popen(["sleep", "60"])
    try:
        assert is_alive(process.pid, time.time())
        assert not is_alive(process.pid, time.time() - 3600)
        process.kill()
        wait_for(lambda: not is_alive(process.pid, time.time()))
        assert process.returncode is None, "a zombie is not alive"
    finally:
        process.kill()
        process.wait()
    assert not is_alive(process.pid, time.time())


def launch(workspace: WorkspaceProcessContext, job: str) -> str:
    """Put a job into the queue, as `dagster job launch`, a schedule or the UI does. Returns the id of its run."""
    instance, request = workspace.instance, workspace.create_request_context()
    (location,) = request.code_locations
    (repository,) = location.get_repositories().values()
    run = _create_run(
        instance=instance,
        code_location=location,
        remote_repo=repository,
        remote_job=repository.get_full_job(job),
        run_config={},
        tags=None,
        op_selection=None,
        run_id=None,
    )
    assert instance.submit_run(run.run_id, request).status == QUEUED
    return run.run_id


@contextmanager
def queue(workspace: WorkspaceProcessContext) -> Iterator[Callable[[], None]]:
    """What the daemon does every few seconds: let runs go that need not wait."""
    instance, daemon = workspace.instance, QueuedRunCoordinatorDaemon(interval_seconds=1)

    def look() -> None:
        assert not any(daemon.run_iteration(workspace))

    try:
        yield look
    finally:
        for run in instance.get_runs(filters=dg.RunsFilter(statuses=[*IN_PROGRESS_RUN_STATUSES])):
            instance.run_launcher.terminate(run.run_id)
        instance.run_launcher.join()


def test_two_pipelines_of_the_same_hour_train_one_after_another(
    instance: dg.DagsterInstance, workspace: WorkspaceProcessContext
) -> None:
    first, second = (launch(workspace, job) for job in (PIPELINE, two_pipelines.OTHER))
    observation = launch(workspace, f"{PIPELINE}_rollback")
    with queue(workspace) as look:
        look()
        wait_for(lambda: status(instance, first) == STARTED)
        look()
        assert status(instance, second) == QUEUED
        assert status(instance, observation) != QUEUED, "what does not train need not wait"
        instance.run_launcher.terminate(first)
        wait_for(lambda: status(instance, first) == CANCELED)
        look()
        assert status(instance, second) != QUEUED


def test_a_killed_run_from_the_command_line_is_reported_at_the_next_start_and_does_not_block_the_night(
    instance: dg.DagsterInstance,
    pipeline: TinyPipeline,
    workspace: WorkspaceProcessContext,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nightly = launch(workspace, two_pipelines.OTHER)
    with queue(workspace) as look, at_work(instance) as (process, run_id):
        assert fail_lost_runs(instance) == []
        assert status(instance, run_id) == STARTED, "who is at work is left alone"
        look()
        assert status(instance, nightly) == QUEUED, "it waits for a training from the command line too"
        kill(process)
        look()
        assert status(instance, run_id) == STARTED, "Dagster does not notice"
        assert status(instance, nightly) == QUEUED, "and so it waits on"
        main()
        assert capsys.readouterr().out == f"run {run_id} was killed: reported as failed\n"
        assert status(instance, run_id) == FAILED
        look()
        assert status(instance, nightly) != QUEUED
    runpy.run_path(str(REPOSITORY / "mtl_pipeline/instance.py"), run_name="__main__")  # as `make run` does
    assert capsys.readouterr().out == ""
    assert open_project(pipeline, instance).run("users").success, "and the next run works"


@pytest.mark.parametrize("target", ["run", "report", "tune", "backtest", "rollback", "ui"])
def test_make_looks_after_the_instance_first(target: str) -> None:
    command = ["make", "--dry-run", "--always-make", target]
    said = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    commands = [line for line in said.splitlines() if re.search("dagster |mtl_pipeline[.]", line)]
    assert commands[0].endswith("bin/python -m mtl_pipeline.instance")


def test_a_changed_file_is_observed_by_a_run_that_the_daemon_launches(
    instance: dg.DagsterInstance, pipeline: TinyPipeline, workspace: WorkspaceProcessContext
) -> None:
    key = dg.AssetKey([PIPELINE, "raw_users"])
    others = {run.run_id for run in instance.get_runs()}

    def version() -> str | None:
        records = instance.fetch_observations(key, limit=1).records
        return records[0].asset_observation.data_version if records else None  # type: ignore[union-attr]

    def runs() -> set[str]:
        return {run.run_id for run in instance.get_runs()} - others

    with queue(workspace) as look:

        def tick(number: int) -> None:
            """Ticks a minute apart."""
            with freeze_time(start + 60 * number):
                assert not any(execute_sensor_iteration(workspace, logging.getLogger("sensor"), None, None))

        start = time.time()
        assert open_project(pipeline, instance).run("users").success
        before = version()
        (read,) = runs()
        tick(0)
        tick(1)
        with (pipeline.paths.raw / "users.csv").open("a") as file:
            file.write("500,30,F,artist,10001\n")
        tick(2)
        assert runs() == {read}
        assert version() == before
        tick(3)
        observation = instance.get_runs(limit=1)[0]
        assert observation.asset_selection == {key}
        look()
        wait_for(lambda: status(instance, observation.run_id) == SUCCEEDED)
        assert version() not in (None, before)
        tick(4)
        tick(5)
        assert runs() == {read, observation.run_id}
