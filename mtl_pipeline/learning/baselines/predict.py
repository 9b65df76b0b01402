"""What the multi-task ranker has to beat, predicted for the same rows.

constant        the mean label of the training split (its class shares for a multiclass task)
popularity      the same as linear, on the history of the item alone
linear          logistic, multinomial, ridge or Poisson regression on all features and the leading
                components of the text vectors
boosted_trees   histogram-based gradient boosting (as in LightGBM) on the same inputs as linear
single_task     a network of the same size, for one task alone

scikit-learn's models are fitted on at most FITTED_ROWS rows, drawn at random. All are calibrated on the
validation rows, as the ranker is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from sklearn.decomposition import PCA

from mtl_pipeline.kinds import KINDS
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.data.encoding import CategoricalField, Rows
from mtl_pipeline.learning.training.held_out import HeldOut
from mtl_pipeline.learning.training.loop import Log
from mtl_pipeline.learning.training.provenance import write_trained_with
from mtl_pipeline.learning.training.ranker import published_columns
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.predictions import SINGLE_TASK
from mtl_pipeline.publishing import ensure_writable, folder_fingerprint, publish_folder
from mtl_pipeline.spec import PipelineSpec, Task

TEXT_COMPONENTS = 32
MOST_CATEGORIES = 100
"""Values of a categorical feature that get a column: the most frequent ones; the others share none."""
FITTED_ROWS = 500_000

Estimator = Any
"""A scikit-learn classifier or regressor."""


@dataclass(frozen=True)
class BaselinesSummary:
    rows: int
    seconds_by_model: dict[str, float]
    fingerprint: str


def predict_baselines(
    paths: PipelinePaths, spec: PipelineSpec, *, target: Path, log: Log = print
) -> BaselinesSummary:
    """Fit every baseline on the training split, calibrate it on validation, and publish predictions.parquet
    at `target`, with the columns of `published_columns`.

    Raises UserError when examples or text vectors are missing or damaged, or `target` cannot be written."""
    ensure_writable(target)
    dataset = Dataset(paths, spec)
    held_out = HeldOut(dataset, spec)
    rows = held_out.rows
    columns: dict[str, np.ndarray] = {}
    seconds: dict[str, float] = {}

    def add(model: str, task: Task, predictions: np.ndarray, started: float) -> None:
        calibration = held_out.calibration({task.name: predictions})
        columns.update(published_columns(model, {task.name: predictions}, calibration))
        seconds[model] = round(seconds.get(model, 0.0) + time.perf_counter() - started, 2)
        log(
            f"{model} for {task.name}: {time.perf_counter() - started:.1f} s; "
            f"calibration {calibration[task.name]}"
        )

    design = DesignMatrix(dataset, spec)
    matrix = design.build(rows)
    popularity = [dataset.encoder.numeric_names.index(name) for name in item_history(spec)]
    for column, task in enumerate(spec.tasks):
        labels = dataset.train.labels[:, column].numpy()
        fitted = drawn_rows(np.flatnonzero(~np.isnan(labels)), spec.seed)
        inputs, targets = design.build(dataset.train[torch.from_numpy(fitted)]), labels[fitted]
        started = time.perf_counter()
        add("constant", task, constant_answers(task, labels[~np.isnan(labels)], len(rows)), started)
        if popularity:
            started = time.perf_counter()
            add(
                "popularity",
                task,
                fit_predict(linear_model, task, inputs[:, popularity], targets, matrix[:, popularity]),
                started,
            )
        for name, model in (("linear", linear_model), ("boosted_trees", boosted_trees)):
            started = time.perf_counter()
            add(name, task, fit_predict(model, task, inputs, targets, matrix), started)
        started = time.perf_counter()
        add(SINGLE_TASK, task, held_out.answers(dataset, spec, [task])[task.name], started)

    with publish_folder(target) as folder:
        predictions = held_out.frame.select("example_id").with_columns(
            pl.Series(name, values) for name, values in columns.items()
        )
        predictions.write_parquet(folder / "predictions.parquet")
        write_trained_with(folder, dataset, spec)
        fingerprint = folder_fingerprint(folder)
    return BaselinesSummary(len(rows), seconds, fingerprint)


def item_history(spec: PipelineSpec) -> list[str]:
    """The point-in-time statistics of the item alone: how popular and how well received it is so far."""
    return [feature.name for feature in spec.features.history if feature.by == ["item_id"]]


def drawn_rows(rows: np.ndarray, seed: int) -> np.ndarray:
    """At most FITTED_ROWS of the rows, in their order."""
    if len(rows) <= FITTED_ROWS:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, FITTED_ROWS, replace=False))


def constant_answers(task: Task, labels: np.ndarray, rows: int) -> np.ndarray:
    """The mean label, or the share of each class, for every row."""
    answer = KINDS[task.kind].constant_prediction(labels, len(task.classes))
    return np.tile(answer, (rows, 1) if task.classes else rows)


def fit_predict(
    model: Callable[[Task, np.ndarray], Estimator],
    task: Task,
    inputs: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
) -> np.ndarray:
    """Fit a model and predict `rows`: float64 [rows], or [rows, classes] for a multiclass task.

    Where training has one label only, or there are no inputs, the answer is constant.
    """
    if len(np.unique(labels)) == 1 or inputs.shape[1] == 0:
        return constant_answers(task, labels, len(rows))
    estimator = model(task, labels).fit(inputs, labels)
    return KINDS[task.kind].fitted_predictions(estimator, rows, len(task.classes))


def linear_model(task: Task, labels: np.ndarray) -> Estimator:
    return KINDS[task.kind].linear_model()


def boosted_trees(task: Task, labels: np.ndarray) -> Estimator:
    return KINDS[task.kind].boosted_trees(labels)


class DesignMatrix:
    """The model's features for linear models: numerics, one-hot categories, components of the text vectors.

    The components are those of the vectors of the training split's users and items.
    """

    def __init__(self, dataset: Dataset, spec: PipelineSpec) -> None:
        self.fields: list[CategoricalField] = dataset.encoder.fields
        self.components = [
            text_components(
                dataset.text.tables[table].vectors, dataset.train.text[:, column].unique().numpy()
            )
            for column, table in enumerate(spec.text_tables)
        ]

    def build(self, rows: Rows) -> np.ndarray:
        """float32 [rows, features]."""
        parts = [rows.numeric]
        slot = 0
        for field in self.fields:
            values = rows.categorical[:, slot : slot + field.slots].long()
            columns = min(field.size, MOST_CATEGORIES)
            values[values > columns] = 0
            parts.append(torch.zeros(len(rows), columns + 1).scatter_(1, values, 1.0)[:, 1:])
            slot += field.slots
        parts += [
            torch.from_numpy(components[rows.text[:, column].numpy()])
            for column, components in enumerate(self.components)
        ]
        return torch.cat(parts, 1).numpy()


def text_components(vectors: np.ndarray, train_rows: np.ndarray) -> np.ndarray:
    """float32 [vectors, components]: principal components fitted on the training rows' vectors."""
    known = vectors[train_rows]
    analysis = PCA(min(TEXT_COMPONENTS, *known.shape), random_state=0).fit(known)
    return analysis.transform(vectors).astype(np.float32)
