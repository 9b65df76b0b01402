"""What `make` sees to at each start: killed runs are reported as failed, and the queue of trainings has its limit.

python -m mtl_pipeline.instance

Dagster would show a run whose process was killed as started for ever: nobody watches a run from the command line, and
Dagster's launcher for one machine cannot say whether a run's process is still there. The first event of a run holds its
process id. While the UI is open, its daemon asks the launcher below (see run_monitoring in dagster.yaml).
This assumes that all runs of an instance are on one machine, in one process namespace.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus

UNFINISHED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
CLOCK_MAY_HAVE_MOVED_SECONDS = 60
TRAINING_POOL = "training"
"""The pool of the assets that train."""
LOST = "The process of this run is gone: it was killed, or the machine was restarted. What it had published stays."


@contextmanager
def open_instance() -> Iterator[dg.DagsterInstance]:
    """The instance that `DAGSTER_HOME` names, or one that forgets all at the end."""
    lasting = "DAGSTER_HOME" in os.environ
    with dg.DagsterInstance.get() if lasting else dg.DagsterInstance.ephemeral() as instance:
        yield instance


class WatchfulRunLauncher(DefaultRunLauncher):
    """Launches runs as Dagster does by default, and knows when one was lost, whoever launched it."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        if is_lost(self._instance, run):
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, LOST)
        return CheckRunHealthResult(WorkerStatus.RUNNING)


def fail_lost_runs(instance: dg.DagsterInstance) -> list[str]:
    """Report runs that were lost as failed; returns their ids."""
    unfinished = instance.get_runs(filters=dg.RunsFilter(statuses=UNFINISHED))
    lost = [run.run_id for run in unfinished if is_lost(instance, run)]
    # Looked up again: a run may have ended, and its process with it, in the meantime.
    ended = [run for run_id in lost if (run := instance.get_run_by_id(run_id)) and not run.is_finished]
    for run in ended:
        instance.report_run_failed(run, LOST)
    return [run.run_id for run in ended]


def is_lost(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a run has started in a process that no longer exists."""
    started = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_START)
    events = [(entry.dagster_event, entry.timestamp) for entry in started]
    return any(event and event.pid is not None and not is_alive(event.pid, time) for event, time in events)


def is_alive(process: int, since: float) -> bool:
    """Whether the process that had this id at a time (seconds since 1970) still exists: one that started later is
    another one, and a zombie does not count. Without /proc nobody can tell, so it counts as alive."""
    if not Path("/proc/self/stat").is_file():
        return True
    try:
        state, *fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    started = booted + int(fields[18]) / os.sysconf("SC_CLK_TCK")
    return state != "Z" and started < since + CLOCK_MAY_HAVE_MOVED_SECONDS


def main() -> None:
    with dg.DagsterInstance.get() as instance:
        # Dagster sets the limit only after it has let through all that waited the first time.
        instance.event_log_storage.initialize_concurrency_limit_to_default(TRAINING_POOL)
        for run_id in fail_lost_runs(instance):
            print(f"run {run_id} was killed: reported as failed")


if __name__ == "__main__":
    main()
