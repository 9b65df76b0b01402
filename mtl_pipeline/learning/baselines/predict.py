"""What the multi-task ranker has to beat, predicted for the same rows.

constant        the mean label of the training split (its class shares for a task with classes)
popularity      as linear, on the history of the item alone; without history the mean label of the item in training
linear          logistic, multinomial, ridge or Poisson regression on all features and the leading components of the
                text vectors
boosted_trees   gradient-boosted trees on the same inputs as linear
single_task     a network of the same size, for one task alone

`baselines.models` says which of them, but for the constant, are made. All but the networks are fitted on at most
FITTED_ROWS rows, drawn by a hash; all on at most `baselines.rows`. All are calibrated on the validation rows, as the
ranker is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import torch

from mtl_pipeline.learning.baselines.boosted_trees import boosted_answers
from mtl_pipeline.learning.baselines.design import DesignMatrix
from mtl_pipeline.learning.baselines.simple import constant_answers, linear_answers, popularity_answers
from mtl_pipeline.learning.calibration.fitting import fit_calibration
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.data.samples import drawn_rows
from mtl_pipeline.learning.ranker.provenance import networks_trained_with, write_trained_with
from mtl_pipeline.learning.ranker.ranker import published_columns
from mtl_pipeline.learning.training.at_once.side_by_side import SideBySide
from mtl_pipeline.learning.training.continuing.checkpoint import Checkpoints
from mtl_pipeline.learning.training.held_out import HeldOut
from mtl_pipeline.learning.training.loop import Log
from mtl_pipeline.learning.training.single_task import alone_log, read_single_task, single_task_networks
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.predictions import SINGLE_TASK
from mtl_pipeline.publishing import ensure_writable, folder_fingerprint, publish_folder
from mtl_pipeline.spec import PipelineSpec, Task

FITTED_ROWS = 500_000


@dataclass(frozen=True)
class BaselinesSummary:
    rows: int
    seconds_by_model: dict[str, float]
    fingerprint: str


def predict_baselines(
    paths: PipelinePaths, spec: PipelineSpec, *, target: Path, log: Log = print
) -> BaselinesSummary:
    """Fit every baseline on the training split, calibrate it on validation, and publish predictions.parquet, with the
    columns of `published_columns`, at `target`. The networks for single tasks are those that were trained beside the
    model, or else are trained while the others are fitted.

    Raises UserError when examples or text vectors are missing or damaged, or `target` cannot be written."""
    ensure_writable(target)
    dataset, checkpoints = Dataset(paths, spec), Checkpoints.of(paths, target)
    held_out = HeldOut(dataset, spec)
    predicted = Predicted(spec, held_out, log)
    alone = single_task_networks(spec) if SINGLE_TASK in spec.baselines.models else {}
    kept = read_single_task(paths, dataset, spec, log) if alone else {}
    lacking = [] if kept else [*alone.values()]
    with SideBySide(dataset, spec, lacking, alone_log(log), checkpoints, kept, busy=True) as networks:
        design = DesignMatrix(dataset, spec)
        matrix = design.build(held_out.rows)
        for task in spec.tasks:
            for model, answers in simple_answers(dataset, spec, task, held_out, design, matrix):
                predicted.add(model, task, answers, answers[held_out.validation])
        for name, wanted in alone.items():
            ranker = networks.ranker(wanted)
            # Validation rows by themselves, as for the model: other batches round otherwise, and that would tell a task
            # that is left to this network from the network.
            on_validation, answers = (
                ranker.predict_uncalibrated(rows)[name] for rows in (dataset.validation, held_out.rows)
            )
            predicted.add(SINGLE_TASK, spec.task(name), answers, on_validation)
    with publish_folder(target) as folder:
        held_out.frame.select("example_id").with_columns(
            pl.Series(name, values) for name, values in predicted.columns.items()
        ).write_parquet(folder / "predictions.parquet")
        write_trained_with(folder, networks_trained_with(dataset, spec))
        fingerprint = folder_fingerprint(folder)
    checkpoints.remove()
    return BaselinesSummary(len(held_out.rows), predicted.seconds, fingerprint)


@dataclass
class Predicted:
    """What the baselines say of the held-out rows, calibrated."""

    spec: PipelineSpec
    held_out: HeldOut
    log: Log
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    """By model, since the one before; of networks that were trained beside it, those of waiting for them."""
    started: float = field(default_factory=time.perf_counter)

    def add(self, model: str, task: Task, answers: np.ndarray, on_validation: np.ndarray) -> None:
        """A model's uncalibrated predictions of a task, for all held-out rows and for those of validation."""
        calibration = fit_calibration(self.spec, self.held_out.validation_labels, {task.name: on_validation})
        self.columns |= published_columns(model, {task.name: answers}, calibration)
        taken = time.perf_counter() - self.started
        self.seconds[model] = round(self.seconds.get(model, 0.0) + taken, 2)
        self.log(f"{model} for {task.name}: {taken:.1f} s; calibration {calibration[task.name]}")
        self.started += taken


def simple_answers(
    dataset: Dataset,
    spec: PipelineSpec,
    task: Task,
    held_out: HeldOut,
    design: DesignMatrix,
    matrix: np.ndarray,
) -> Iterator[tuple[str, np.ndarray]]:
    """Fit one baseline after another, all but the networks: its name, and its uncalibrated predictions for the held-out
    rows, of which `matrix` holds the inputs."""
    models = spec.baselines.models
    labels = dataset.train.labels[:, dataset.encoder.tasks.index(task.name)].numpy()
    observed = dataset.observed(task.name)
    yield "constant", constant_answers(task, labels[observed], len(matrix))
    fitted = drawn_rows(observed, spec.baselines.rows or FITTED_ROWS, spec.seed)
    train, targets = dataset.train[torch.from_numpy(fitted)], labels[fitted]
    inputs = design.build(train)
    # Statistics of the item alone: how popular and how well received it was so far.
    history = [feature.name for feature in spec.features.history if feature.by == ["item_id"]]
    popularity = [dataset.encoder.numeric_names.index(name) for name in history]
    if popularity and "popularity" in models:
        yield "popularity", linear_answers(task, inputs[:, popularity], targets, matrix[:, popularity])
    elif "item_id" in spec.ids and "popularity" in models:
        items, rows = (of.ids[:, spec.ids.index("item_id")].numpy() for of in (train, held_out.rows))
        yield "popularity", popularity_answers(task, items, targets, rows)
    if "linear" in models:
        yield "linear", linear_answers(task, inputs, targets, matrix)
    if "boosted_trees" in models:
        known = ~np.isnan(held_out.validation_labels[task.name])
        validation = matrix[held_out.validation][known], held_out.validation_labels[task.name][known]
        yield "boosted_trees", boosted_answers(task, inputs, targets, validation, matrix)
