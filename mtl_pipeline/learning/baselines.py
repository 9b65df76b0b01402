"""What the multi-task ranker has to beat, predicted for the same rows.

constant      the mean label of the training split
popularity    the item's mean label so far, as one calibrated feature (or its share of positives)
linear        logistic or ridge regression on all features and the leading components of the text vectors
single_task   a network of the same size, for one task alone
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge

from mtl_pipeline.learning.dataset import Dataset
from mtl_pipeline.learning.encoding import CategoricalField, Rows
from mtl_pipeline.learning.training import Log, fit_network
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import publish_folder
from mtl_pipeline.spec import PipelineSpec, Task

TEXT_COMPONENTS = 32


@dataclass(frozen=True)
class BaselinesSummary:
    rows: int
    seconds_by_model: dict[str, float]
    fingerprint: str


def predict_baselines(
    paths: PipelinePaths, spec: PipelineSpec, *, target: Path, log: Log = print
) -> BaselinesSummary:
    """Fit every baseline on the training split and publish predictions.parquet at `target`."""
    dataset = Dataset(paths, spec)
    evaluated = dataset.split("validation", "test")
    rows = dataset.encoder.encode(evaluated)
    columns: dict[str, np.ndarray] = {}
    seconds: dict[str, float] = {}

    def add(model: str, task: Task, predictions: np.ndarray, started: float) -> None:
        columns[f"prediction/{model}/{task.name}"] = predictions
        seconds[model] = round(seconds.get(model, 0.0) + time.perf_counter() - started, 2)
        log(f"{model} for {task.name}: {time.perf_counter() - started:.1f} s")

    design = DesignMatrix(dataset)
    train_matrix, matrix = design.build(dataset.train), design.build(rows)
    popularity = [dataset.encoder.numeric_names.index(name) for name in item_history(dataset, spec)]
    for column, task in enumerate(spec.tasks):
        labels = dataset.train.labels[:, column].numpy()
        observed = ~np.isnan(labels)
        started = time.perf_counter()
        add("constant", task, np.full(len(rows), labels[observed].mean(dtype=np.float64)), started)
        if popularity:
            started = time.perf_counter()
            add(
                "popularity",
                task,
                fit_linear(
                    task,
                    dataset.train.numeric.numpy()[observed][:, popularity],
                    labels[observed],
                    rows.numeric.numpy()[:, popularity],
                ),
                started,
            )
        started = time.perf_counter()
        add("linear", task, fit_linear(task, train_matrix[observed], labels[observed], matrix), started)
        started = time.perf_counter()
        fit = fit_network(dataset, spec, [task], lambda line: None)
        add("single_task", task, fit.ranker.predict(rows)[:, 0].numpy(), started)

    with publish_folder(target) as folder:
        predictions = evaluated.select("example_id").with_columns(
            pl.Series(name, values) for name, values in columns.items()
        )
        predictions.write_parquet(folder / "predictions.parquet")
        fingerprint = hashlib.sha256((folder / "predictions.parquet").read_bytes()).hexdigest()
    return BaselinesSummary(len(rows), seconds, fingerprint)


def item_history(dataset: Dataset, spec: PipelineSpec) -> list[str]:
    """The point-in-time statistics of the item alone: how popular and how well received it is so far."""
    return [feature.name for feature in spec.features.history if feature.by == ["item_id"]]


def fit_linear(task: Task, inputs: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Fit logistic or ridge regression and predict `rows`; the mean where training has one label only."""
    if task.kind == "regression":
        return Ridge(alpha=1.0).fit(inputs, labels).predict(rows)
    if len(np.unique(labels)) == 1:
        return np.full(len(rows), labels.mean(dtype=np.float64))
    return LogisticRegression(max_iter=500).fit(inputs, labels).predict_proba(rows)[:, 1].astype(np.float64)


class DesignMatrix:
    """The model's features for linear models: numerics, one-hot categories, components of the text vectors.

    The components are those of the vectors of the training split's users and items.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.fields: list[CategoricalField] = dataset.encoder.fields
        self.components = [
            text_components(vectors.vectors, dataset.train.text[:, column].unique().numpy())
            for column, vectors in enumerate((dataset.text.users, dataset.text.items))
        ]

    def build(self, rows: Rows) -> np.ndarray:
        """float32 [rows, features]."""
        parts = [rows.numeric]
        slot = 0
        for field in self.fields:
            values = rows.categorical[:, slot : slot + field.slots].long()
            parts.append(torch.zeros(len(rows), field.size + 1).scatter_(1, values, 1.0)[:, 1:])
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
