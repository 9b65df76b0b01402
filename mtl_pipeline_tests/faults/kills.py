"""Killed at a moment of chance (SIGKILL): Dagster runs of each asset, and each stage's function alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from mtl_pipeline.champions import model_fingerprint
from mtl_pipeline.learning.training.continuing import checkpoint
from mtl_pipeline.workflows.train import train_model
from mtl_pipeline_tests.conftest import PIPELINE, TinyPipeline
from mtl_pipeline_tests.faults.processes import PROCESSES
from mtl_pipeline_tests.faults.stages import (
    STAGES,
    WHOLE_GROUP,
    environment,
    leftovers,
    materialize_command,
    published_apart,
    run_stage,
    silent,
)

MADE = (
    "users",
    "items",
    "interactions",
    "rejected_rows",
    "user_embeddings",
    "item_embeddings",
    "examples",
    "baselines",
    "model",
    "evaluation",
    "champion",
    "recommendations",
)
"""Assets of the nightly job, each of which is killed in turn."""


def kill_stages(
    pipeline: TinyPipeline, kills: int, seed: int, stages: Sequence[str] = tuple(STAGES)
) -> list[str]:
    """Kill each stage's function in turn, so many times before it was done. What it had published before is there,
    whole and the same, after each."""
    rng = random.Random(seed)
    before = published_apart(pipeline.root)
    seconds = {name: time_stage(pipeline.root, name) for name in stages}
    faults, landed = [], 0
    while landed < kills:
        name = stages[landed % len(stages)]
        after = seconds[name] * rng.uniform(0.0, 1.1)
        process = PROCESSES.Process(target=run_stage, args=(pipeline.root, name))
        process.start()
        process.join(after)
        process.kill()
        process.join()
        landed += process.exitcode == -signal.SIGKILL
        if process.exitcode not in (0, -signal.SIGKILL):
            faults.append(f"{name} fails by itself")
            landed += 1
        if (found := published_apart(pipeline.root)) != before:
            faults.append(f"{name} killed after {after:.2f} s: {difference(before, found)}")
    return faults + [f"left over: {name}" for name in leftovers_after_all(pipeline, stages)]


def time_stage(root: Path, name: str) -> float:
    """Seconds that a stage takes undisturbed."""
    started = time.monotonic()
    process = PROCESSES.Process(target=run_stage, args=(root, name))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{name} fails undisturbed")
    return time.monotonic() - started


def leftovers_after_all(pipeline: TinyPipeline, stages: Sequence[str]) -> list[str]:
    """What killed stages leave is swept away when each publishes once more."""
    for name in stages:
        time_stage(pipeline.root, name)
    return leftovers(pipeline)


def train(root: Path, seconds_between: float, rows_in_memory: int) -> None:
    """In a process of its own, so many seconds between its checkpoints; of more rows, it reads them again from Parquet
    in each epoch."""
    checkpoint.SECONDS_BETWEEN, checkpoint.LARGEST_SHARE = seconds_between, float("inf")
    torch.set_num_threads(1)
    pipeline = TinyPipeline(root)
    update = {"epochs": 6, "patience": 12, "guard": False, "rows_in_memory": rows_in_memory}
    training = pipeline.spec.training.model_copy(update=update)
    spec = pipeline.spec.model_copy(update={"training": training})
    train_model(pipeline.paths, spec, target=pipeline.paths.model, log=silent)


def kill_training(
    pipeline: TinyPipeline, kills: int, seed: int, rows_in_memory: int = 10_000_000
) -> list[str]:
    """Kill trainings that keep a checkpoint after every round; each is begun again until it ends, with the model of one
    that nobody disturbed."""
    rng, started = random.Random(seed), time.monotonic()
    kill_after(pipeline, None, rows_in_memory, seconds_between=float("inf"))
    seconds, undisturbed = time.monotonic() - started, model_fingerprint(pipeline.paths.model)
    faults, landed, went_on = [], 0, 0
    while landed < kills:
        killed = kill_after(pipeline, seconds * rng.uniform(0.5, 1.0), rows_in_memory)
        landed += killed
        seconds *= (
            1 if killed else 0.9
        )  # a first run that was slowed down would put every kill behind the end
        went_on += any(pipeline.paths.checkpoints.rglob("*.pt"))
        if not killed and model_fingerprint(pipeline.paths.model) != undisturbed:
            faults.append(f"after {landed} kills the training ends with another model")
    kill_after(pipeline, None, rows_in_memory)
    if model_fingerprint(pipeline.paths.model) != undisturbed:
        faults.append("the training that went on last ends with another model")
    if pipeline.paths.checkpoints.exists():
        faults.append("checkpoints are left over")
    return faults if went_on else [*faults, "no kill came after a checkpoint, so nothing was tried"]


def kill_after(
    pipeline: TinyPipeline, seconds: float | None, rows_in_memory: int, seconds_between: float = 0.0
) -> bool:
    """Whether a training was killed; without `seconds` it is left alone."""
    process = PROCESSES.Process(target=train, args=(pipeline.root, seconds_between, rows_in_memory))
    process.start()
    process.join(seconds)
    process.kill()
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        raise RuntimeError("a training fails by itself")
    return process.exitcode == -signal.SIGKILL


def kill_runs(pipeline: TinyPipeline, kills: int, seed: int) -> list[str]:
    """Kill `dagster asset materialize` of each asset in turn; at the end a whole run succeeds and nothing is left."""
    rng = random.Random(seed)
    before = published_apart(pipeline.root)
    seconds: dict[str, float] = {}
    faults: list[str] = []
    landed = 0
    while landed < kills:
        asset = MADE[landed % len(MADE)]
        if asset not in seconds:
            started = time.monotonic()
            if fault := whole_run(pipeline.root, f'key:"{PIPELINE}/{asset}"'):
                return [*faults, fault]
            seconds[asset] = time.monotonic() - started
        after = seconds[asset] * rng.uniform(0.3, 1.0)
        started = time.monotonic()
        if kill_run(pipeline.root, f'key:"{PIPELINE}/{asset}"', after):
            landed += 1
        else:  # a first run that was slowed down by other work would put every kill behind the end
            seconds[asset] = time.monotonic() - started
        if (found := published_apart(pipeline.root)) != before:
            faults.append(f"run of {asset} killed after {after:.2f} s: {difference(before, found)}")
    if fault := whole_run(pipeline.root, WHOLE_GROUP):
        faults.append(f"after {kills} kills: {fault}")
    elif (found := published_apart(pipeline.root)) != before:
        faults.append(f"after {kills} kills a whole run gives something else: {difference(before, found)}")
    return faults + [f"left over: {name}" for name in leftovers(pipeline)]


def kill_run(root: Path, selection: str, after: float) -> bool:
    """Whether the run was not done yet."""
    process = subprocess.Popen(
        materialize_command(selection),
        env=environment(root),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(after)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


def whole_run(root: Path, selection: str) -> str | None:
    """What went wrong in an undisturbed run, if anything did."""
    finished = subprocess.run(
        materialize_command(selection), env=environment(root), capture_output=True, text=True
    )
    return f"{selection} fails: {finished.stderr[-1500:]}" if finished.returncode else None


def difference(before: dict[str, str] | str, after: dict[str, str] | str) -> str:
    if isinstance(before, str) or isinstance(after, str):
        return f"cannot be read: {after}"
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return f"changed: {', '.join(changed)}"
