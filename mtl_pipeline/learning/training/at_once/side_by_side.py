"""Networks that do not depend on each other, trained at once: each in a process of its own, which shares out the cores.

Two threads hardly train a network of this size faster than one does; two trainings are nearly twice as fast side by
side. Each process reads the published examples itself (a second), so memory is that of one training for each.

On a GPU, on one core, with one network or few rows, they are trained here, one after the other: a process takes
seconds to start. What comes out is the same for the same number of threads.
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import torch
from torch import Tensor

from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.ranker.members import load_member, on_device
from mtl_pipeline.learning.ranker.provenance import networks_trained_with
from mtl_pipeline.learning.ranker.ranker import LabelScale, Ranker
from mtl_pipeline.learning.representation.representation import NetworkShape
from mtl_pipeline.learning.training.continuing.checkpoint import Checkpoints
from mtl_pipeline.learning.training.divergence import Diverged
from mtl_pipeline.learning.training.loop import Fit, Log, fit_members
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import held_versions
from mtl_pipeline.spec import PipelineSpec, Task

WORTH_PROCESSES = 100_000
"""Rows of the training split, each counted once for each network: fewer are trained in less time than a process takes
to start."""
WORKER = "mtl_pipeline.learning.training.at_once.worker"
SECONDS_BETWEEN_LINES = 0.5


@dataclass(frozen=True)
class Wanted:
    """A network, or `training.members` of them."""

    task: str | None
    """The only one that it is for; None: for all tasks."""
    seed: int
    blind: bool = False
    """Without text vectors."""

    def __str__(self) -> str:
        return f"the network for {self.task or 'all tasks'}, seed {self.seed}" + ", without text" * self.blind

    def tasks(self, spec: PipelineSpec) -> list[Task]:
        return [spec.task(self.task)] if self.task else list(spec.tasks)

    def fit(self, dataset: Dataset, spec: PipelineSpec, log: Log, checkpoints: Checkpoints) -> Fit:
        """`dataset`: with text vectors, and as the pipeline's own seed has it. May raise Diverged."""
        seeded = spec.model_copy(update={"seed": self.seed})
        rows = dataset.without_text(spec) if self.blind else dataset
        if self.task:
            rows = rows.drawn_for(self.task, seeded)
        try:
            return fit_members(rows, seeded, self.tasks(spec), log, checkpoints=checkpoints)
        except Diverged as error:
            raise Diverged(f"{self}: {error}") from error


@dataclass(frozen=True)
class Order:
    """What a worker is told."""

    wanted: Wanted
    paths: PipelinePaths
    spec: PipelineSpec
    trained_with: dict
    checkpoints: Checkpoints
    versions: dict[Path, Path]
    """Of its inputs, which are kept until it has ended."""


@dataclass(frozen=True)
class Trained:
    """What it answers."""

    weights: list[dict[str, Tensor]]
    """By member."""
    shape: NetworkShape
    scale: LabelScale
    checkpoints: set[str]
    """The names of those that it used."""


def ranker_of(trained: Trained, wanted: Wanted, dataset: Dataset, spec: PipelineSpec) -> Ranker:
    tasks = wanted.tasks(spec)
    texts = {} if wanted.blind else on_device(dataset.text.tensors)
    names = [task.name for task in tasks]
    members = [load_member(one, spec.model, trained.shape, texts, tasks, names) for one in trained.weights]
    return Ranker(members, tasks, trained.scale)


class SideBySide:
    """Trains what is wanted, seed by seed and the largest first, from the moment it is entered; leaving it ends what is
    not done. What else is asked for is trained then and here."""

    def __init__(
        self,
        dataset: Dataset,
        spec: PipelineSpec,
        wanted: Sequence[Wanted] = (),
        log: Callable[[Wanted, str], None] = lambda wanted, line: None,
        checkpoints: Checkpoints | None = None,
        kept: Mapping[Wanted, Ranker] | None = None,
        *,
        busy: bool = False,
    ) -> None:
        """`kept`: what need not be trained; it takes its share of threads all the same, where it is wanted, so that
        what is trained beside it comes out as ever. `busy`: something else is done here meanwhile, as much as one
        training, until a network is waited for."""
        self.dataset, self.spec, self.log, self.kept = dataset, spec, log, kept or {}
        self.checkpoints = checkpoints or Checkpoints()
        self.lines: queue.SimpleQueue[tuple[Wanted, str]] = queue.SimpleQueue()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.futures: dict[Wanted, Future[Trained]] = {}
        rows = {one: training_rows(dataset, one.task) for one in wanted}
        self.threads = torch.get_num_threads()
        self.at_once = min(len(wanted) + busy, self.threads) if wanted else 1
        if dataset.device.type != "cpu" or sum(rows.values()) < WORTH_PROCESSES:
            self.at_once = 1
        self.share = self.threads // self.at_once
        """Threads of each, and of what is done here meanwhile."""
        self.idle, self.left = threading.Event(), False
        if not busy:
            self.idle.set()
        trained_with = networks_trained_with(dataset, spec) if self.at_once > 1 else {}
        self.orders = [
            Order(
                one, dataset.paths, spec, trained_with, Checkpoints(self.checkpoints.folder), held_versions()
            )
            for one in sorted(wanted, key=lambda one: (one.seed, -rows[one]))
            if one not in self.kept
        ]

    def __enter__(self) -> SideBySide:
        if self.at_once > 1:
            torch.set_num_threads(self.share)
            self.pool = ThreadPoolExecutor(self.at_once)
            self.pool.submit(self.idle.wait)  # takes the place of what is done here, as long as that goes on
            self.futures = {order.wanted: self.pool.submit(self.train, order) for order in self.orders}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.left = True
        self.idle.set()
        if self.at_once > 1:
            self.pool.shutdown(wait=False, cancel_futures=True)
            while not all(future.done() for future in self.futures.values()):
                for process in self.processes:
                    process.kill()
                wait(self.futures.values(), SECONDS_BETWEEN_LINES)
            torch.set_num_threads(self.threads)

    def ranker(self, wanted: Wanted) -> Ranker:
        """Of what is wanted, as soon as it is trained. May raise Diverged; the error of another one, too."""
        if wanted in self.kept:
            return self.kept[wanted]
        if wanted not in self.futures:
            log = self.with_lines(lambda line: self.log(wanted, line))
            return wanted.fit(self.dataset, self.spec, log, self.checkpoints).ranker
        self.idle.set()
        future = self.futures[wanted]
        while not future.done():
            self.look_after()
            wait([future], SECONDS_BETWEEN_LINES)
        self.look_after()
        trained = future.result()
        self.checkpoints.used |= trained.checkpoints
        return ranker_of(trained, wanted, self.dataset, self.spec)

    def with_lines(self, log: Log) -> Log:
        """The log of what is done here, which has those of the networks come in between. It raises the error of one
        that has failed meanwhile."""

        def both(line: str) -> None:
            self.look_after()
            log(line)

        return both

    def look_after(self) -> None:
        """Log what the networks have said, here and not in the thread that reads it: not every log may be written by
        several. And raise the error of one that has failed: the others are of no use without it."""
        while not self.lines.empty():
            self.log(*self.lines.get())
        for future in self.futures.values():
            if future.done():
                future.result()

    def train(self, order: Order) -> Trained:
        """In a process of its own, which ends when this one does: the pipe that it was told by is closed then. It
        answers through another, since whatever it imports may print."""
        reading, writing = os.pipe()
        with (
            os.fdopen(reading, "rb") as answers,
            subprocess.Popen(
                [sys.executable, "-P", "-m", WORKER, str(writing)],  # -P: not from the working directory
                stdin=subprocess.PIPE,
                pass_fds=[writing],
                env=os.environ
                | {"OMP_NUM_THREADS": str(self.share), "PYTHONPATH": os.pathsep.join(sys.path)},
            ) as process,
        ):
            os.close(writing)
            self.processes.append(process)
            if self.left:
                process.kill()
            assert process.stdin is not None
            try:
                pickle.dump(order, process.stdin)
                process.stdin.flush()
                while isinstance(answer := pickle.load(answers), str):  # noqa: S301
                    self.lines.put((order.wanted, answer))
            except (OSError, EOFError, pickle.UnpicklingError):
                raise_ended(process.wait(), order.wanted)
        if isinstance(answer, Exception):
            raise answer
        return answer


def training_rows(dataset: Dataset, task: str | None) -> int:
    return len(dataset.observed(task)) if task else len(dataset.train)


def raise_ended(code: int, wanted: Wanted) -> NoReturn:
    if code < 0:
        raise UserError(
            f"the process of {wanted} was killed by signal {-code}, perhaps for lack of memory. "
            "OMP_NUM_THREADS=1 trains one network after the other"
        )
    raise RuntimeError(f"the process of {wanted} failed with code {code}: its error output says why")
