"""The model: trained, calibrated on validation, and published with all that using it needs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mtl_pipeline.champions import model_fingerprint
from mtl_pipeline.learning.calibration.fitting import fit_calibration
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.ranker.provenance import trained_with, write_seen, write_trained_with
from mtl_pipeline.learning.ranker.ranker import save_ranker
from mtl_pipeline.learning.training.at_once.side_by_side import SideBySide
from mtl_pipeline.learning.training.batches import passes_per_epoch
from mtl_pipeline.learning.training.callbacks.gradient_conflict import GradientConflict
from mtl_pipeline.learning.training.continuing.checkpoint import Checkpoints
from mtl_pipeline.learning.training.continuing.warm_start import warm_starts
from mtl_pipeline.learning.training.guard import GUARD, Judge, choices, guarded
from mtl_pipeline.learning.training.loop import Log, fit_members, why_stopped
from mtl_pipeline.learning.training.single_task import (
    alone_log,
    publish_single_task,
    read_single_task,
    single_task_networks,
)
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import ensure_writable, publish_folder
from mtl_pipeline.spec import PipelineSpec

RANDOM = "random weights"


@dataclass(frozen=True)
class TrainingSummary:
    """What training did, and how good the best round of the first network for all tasks was on validation."""

    rows: int
    rounds: int
    stopped_because: str
    best_epoch: float
    best_validation_score: float
    """Mean over tasks of validation loss / loss of a constant answer; below 1, something was learned."""
    validation_losses: dict[str, float]
    predicted_by: dict[str, str]
    """By task, which networks the guard has predict it; empty where there was no guard."""
    calibration: dict[str, str]
    """By task, the method and why it was chosen."""
    parameters: int
    """Of all networks."""
    device: str
    seconds: float
    """Of the first network for all tasks."""
    rows_per_second: float
    started_from: str
    """The fingerprint of the champion whose weights it started from, or RANDOM."""
    fingerprint: str


def train_ranker(
    paths: PipelinePaths, spec: PipelineSpec, *, target: Path, judge: Judge | None = None, log: Log = print
) -> TrainingSummary:
    """Train the multi-task ranker and publish it at `target`. A judge may have networks for single tasks predict: they
    are trained beside it, and kept for the baselines.

    Raises UserError when examples or text vectors are missing or damaged, or `target` cannot be written.
    """
    ensure_writable(target)
    dataset, checkpoints = Dataset(paths, spec), Checkpoints.of(paths, target)
    starts = warm_starts(paths, spec, dataset, log)
    alone, kept = {}, {}
    if judge:
        ensure_writable(paths.single_task)
        alone, kept = single_task_networks(spec), read_single_task(paths, dataset, spec, log)
    with SideBySide(
        dataset, spec, [*alone.values()], alone_log(log), checkpoints, kept, busy=True
    ) as networks:
        fit = fit_members(
            dataset, spec, spec.tasks, networks.with_lines(log), [GradientConflict()], checkpoints, starts
        )
        own = {task: networks.ranker(wanted) for task, wanted in alone.items()}
    ranker, said = fit.ranker, None
    if judge:
        if not kept:
            publish_single_task(paths, dataset, spec, own)
        ranker, said = guarded(dataset, ranker, own.values(), judge)
    validation = ranker.predict_uncalibrated(dataset.validation)
    ranker.calibration = fit_calibration(spec, dataset.validation_labels, validation)
    with publish_folder(target) as folder:
        save_ranker(folder, ranker, fit.shape, spec, dataset)
        if said is not None:
            said.write_parquet(folder / GUARD)
        write_trained_with(folder, trained_with(dataset, spec))
        seen = dataset.examples.filter(pl.col("split") != "test")
        write_seen(folder, spec, seen, starts[0].seen if starts else None)
        (folder / "training_log.json").write_text(json.dumps(fit.log, indent=1) + "\n")
        fingerprint = model_fingerprint(folder)
    checkpoints.remove()
    rows_trained = fit.rows * passes_per_epoch(fit.rows, spec.training.batch_size) * fit.log[-1]["epoch"]
    return TrainingSummary(
        rows=fit.rows,
        rounds=len(fit.log),
        stopped_because=why_stopped(fit.log[-1], spec.training.epochs),
        best_epoch=fit.best["epoch"],
        best_validation_score=fit.best["score"],
        validation_losses={task.name: fit.best[f"validation_loss/{task.name}"] for task in spec.tasks},
        predicted_by=choices(said),
        calibration={task: str(calibrator) for task, calibrator in ranker.calibration.items()},
        parameters=sum(member.parameters for member in ranker.members),
        device=str(dataset.device),
        seconds=round(fit.seconds, 2),
        rows_per_second=round(rows_trained / fit.seconds),
        started_from=starts[0].champion if starts else RANDOM,
        fingerprint=fingerprint,
    )
