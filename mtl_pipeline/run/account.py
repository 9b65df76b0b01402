"""An account of runs, told from Dagster's events while they happen."""

from __future__ import annotations

import logging
import re
import signal
import time

import dagster as dg
from dagster._core.errors import DagsterAssetCheckFailedError
from dagster._core.events import RunFailureReason
from dagster._core.execution.plan.objects import ErrorSource

from mtl_pipeline.components.checks import OFFENCES
from mtl_pipeline.components.metadata import IN_SHORT
from mtl_pipeline.escaping import printable
from mtl_pipeline.progress import SECONDS_BETWEEN_LINES
from mtl_pipeline.run.terminal import Terminal

NAME_WIDTH = 20
FOREIGN = re.compile(r"/(dagster|contextlib)\b")
"""Frames of a traceback that tell nothing: how Dagster calls a step."""


class StoppedEarly(BaseException):
    """Raised in the middle of a run, as Dagster would go on with all that does not need what failed."""


class Account:
    """Hears each event of a run, and tells what matters to whoever waits for it."""

    def __init__(self, pipeline: str, terminal: Terminal) -> None:
        self.pipeline, self.terminal = pipeline, terminal
        self.made: list[str] = []
        self.failures: list[str] = []
        """What failed, and what to mend."""
        self.cautions: list[str] = []
        """What steps warned of, beside the checks."""
        self.told: set[dg.AssetCheckKey] = set()
        """The checks of which it told."""
        self.interrupted = False
        self.in_short, self.last_line = "", 0.0

    def hear(self, entry: dg.EventLogEntry) -> None:
        """A listener of the instance."""
        step = (entry.step_key or "").removeprefix(f"{self.pipeline}__")
        event = entry.dagster_event
        if event is None:
            self.hear_step(step, entry)
        elif event.event_type in HEARD:
            HEARD[event.event_type](self, step, event)

    def hear_step(self, step: str, entry: dg.EventLogEntry) -> None:
        """What a step says itself: progress, or a warning."""
        if int(entry.level) >= logging.WARNING:
            self.cautions.append(f"{step}: {entry.user_message}")
            self.terminal.line(f"warning  {self.cautions[-1]}", indent=2, hanging=2)
        elif self.terminal.rewrites or time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            self.terminal.progress(f"  {step:<{NAME_WIDTH}}{entry.user_message}")

    def run_started(self, step: str, event: dg.DagsterEvent) -> None:
        """Dagster now starts programs that capture output, which inherit this: Ctrl-C is not for them."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def step_started(self, step: str, event: dg.DagsterEvent) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        self.in_short, self.last_line = "", time.monotonic()
        if self.terminal.rewrites:
            self.terminal.progress(f"  {step} …")

    def asset_made(self, step: str, event: dg.DagsterEvent) -> None:
        said = event.materialization.metadata.get(IN_SHORT)  # none of an asset of the user's own
        self.in_short = str(said.value) if said else "made"

    def step_succeeded(self, step: str, event: dg.DagsterEvent) -> None:
        if self.in_short:
            self.made.append(step)
            seconds = (event.step_success_data.duration_ms or 0) / 1000
            told = f"{step:<{NAME_WIDTH - 1}} {self.in_short} ({seconds:.1f} s)"
            self.terminal.line(told, indent=2, hanging=NAME_WIDTH)

    def check_evaluated(self, step: str, event: dg.DagsterEvent) -> None:
        found = event.asset_check_evaluation_data
        if not found.passed:
            blocks = found.blocking and found.severity == dg.AssetCheckSeverity.ERROR
            self.tell_check(found, "FAILED" if blocks else "warning")
            if blocks:
                self.failures.append(sentence(found))

    def tell_check(self, found: dg.AssetCheckEvaluation, what: str = "warning") -> None:
        """The rule that is broken, and the first rows that break it."""
        self.terminal.line(f"{what}  {sentence(found)}", indent=2, hanging=2)
        offences = found.metadata.get(OFFENCES)
        if isinstance(offences, dg.TableMetadataValue):
            self.terminal.table(offences, indent=6)
        self.told.add(found.asset_check_key)

    def step_failed(self, step: str, event: dg.DagsterEvent) -> None:
        failed = event.step_failure_data
        if failed.error_source == ErrorSource.INTERRUPT:
            return
        error = failed.error
        if failed.user_failure_data:
            self.fail(f"{step}: {failed.user_failure_data.description}")
        elif error and error.cls_name != DagsterAssetCheckFailedError.__name__:
            unexpected = error.cause or error
            self.fail(f"{step}: {unexpected.message.strip()} (nobody expected this: see where, above)")
            frames = [frame for frame in unexpected.stack if not FOREIGN.search(frame)]
            trace = ["Traceback (most recent call last):\n", *frames, unexpected.message]
            self.terminal.write(printable("".join(trace)))
        raise StoppedEarly(f"{step} failed, so nothing further was begun")

    def run_failed(self, step: str, event: dg.DagsterEvent) -> None:
        ended = event.job_failure_data
        self.interrupted = ended.failure_reason == RunFailureReason.UNEXPECTED_TERMINATION
        if ended.error and not (self.failures or self.interrupted):
            self.fail(ended.error.to_string())

    def fail(self, what: str) -> None:
        self.failures.append(what)
        self.terminal.line(f"FAILED  {what}", indent=2, hanging=2)


def sentence(found: dg.AssetCheckEvaluation) -> str:
    return f"{found.asset_key.path[-1]} breaks the rule {found.check_name}: {found.description}"


Kind = dg.DagsterEventType
HEARD = {
    Kind.RUN_START: Account.run_started,
    Kind.STEP_START: Account.step_started,
    Kind.ASSET_MATERIALIZATION: Account.asset_made,
    Kind.STEP_SUCCESS: Account.step_succeeded,
    Kind.ASSET_CHECK_EVALUATION: Account.check_evaluated,
    Kind.STEP_FAILURE: Account.step_failed,
    Kind.RUN_FAILURE: Account.run_failed,
}
