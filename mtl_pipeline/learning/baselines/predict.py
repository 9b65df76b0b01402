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
from dataclasses import dataclass
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
from mtl_pipeline.learning.ranker.ranker import Ranker, published_columns
from mtl_pipeline.learning.training.checkpoint import Checkpoints
from mtl_pipeline.learning.training.guard import save_own
from mtl_pipeline.learning.training.held_out import HeldOut
from mtl_pipeline.learning.training.loop import Log, fit_members
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.predictions import SINGLE_TASK
from mtl_pipeline.progress import time_left
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
    columns of `published_columns`, at `target`; beside it the networks for single tasks.

    Raises UserError when examples or text vectors are missing or damaged, or `target` cannot be written."""
    ensure_writable(target)
    dataset = Dataset(paths, spec)
    held_out = HeldOut(dataset, spec)
    design = DesignMatrix(dataset, spec)
    matrix = design.build(held_out.rows)
    columns: dict[str, np.ndarray] = {}
    alone: dict[str, Ranker] = {}
    weights: dict[str, list[dict[str, torch.Tensor]]] = {}
    seconds: dict[str, float] = {}
    begun, checkpoints = time.perf_counter(), Checkpoints.of(paths, target)
    for number, task in enumerate(spec.tasks, start=1):
        started = time.perf_counter()
        for model, predictions in answers(
            dataset, spec, task, held_out, design, matrix, alone, checkpoints, log
        ):
            on_validation = {task.name: predictions[held_out.validation]}
            if model == SINGLE_TASK:
                # Predicted by themselves, as for the model: other batches round otherwise, and that would tell a task
                # that is left to this network from the network.
                ranker = alone.pop(task.name)
                on_validation = ranker.predict_uncalibrated(dataset.validation)
                weights[task.name] = [member.weights for member in ranker.members]
            calibration = fit_calibration(spec, held_out.validation_labels, on_validation)
            columns |= published_columns(model, {task.name: predictions}, calibration)
            taken = time.perf_counter() - started
            seconds[model] = round(seconds.get(model, 0.0) + taken, 2)
            log(f"{model} for {task.name}: {taken:.1f} s; calibration {calibration[task.name]}")
            started = time.perf_counter()
        left = time_left(number, len(spec.tasks), started - begun)
        log(f"baselines of {number} of {len(spec.tasks)} tasks{left}")
    with publish_folder(target) as folder:
        held_out.frame.select("example_id").with_columns(
            pl.Series(name, values) for name, values in columns.items()
        ).write_parquet(folder / "predictions.parquet")
        for name, networks in weights.items():
            save_own(folder, name, networks)
        write_trained_with(folder, networks_trained_with(dataset, spec))
        fingerprint = folder_fingerprint(folder)
    checkpoints.remove()
    return BaselinesSummary(len(held_out.rows), seconds, fingerprint)


def answers(
    dataset: Dataset,
    spec: PipelineSpec,
    task: Task,
    held_out: HeldOut,
    design: DesignMatrix,
    matrix: np.ndarray,
    alone: dict[str, Ranker],
    checkpoints: Checkpoints,
    log: Log,
) -> Iterator[tuple[str, np.ndarray]]:
    """Fit one baseline after another: its name, and its uncalibrated predictions for the held-out rows, of which
    `matrix` holds the inputs. The networks of the last one are handed over in `alone`."""
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
    if SINGLE_TASK in models:
        own_rows = dataset.drawn_for(task.name, spec)
        own = fit_members(
            own_rows, spec, [task], lambda line: log(f"{task.name} alone, {line}"), checkpoints=checkpoints
        )
        alone[task.name] = own.ranker
        yield SINGLE_TASK, own.ranker.predict_uncalibrated(held_out.rows)[task.name]
