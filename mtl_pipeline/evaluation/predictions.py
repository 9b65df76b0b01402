"""The wide predictions frame: one row per validation or test example, one column per model and task.

Columns: `example_id`, `user_id`, `item_id`, `split`, `label/<task>` (null = not observed) and
`prediction/<model>/<task>` (a probability for a binary task, a value for a regression).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from mtl_pipeline.errors import UserError
from mtl_pipeline.spec import Task


@dataclass(frozen=True)
class TaskRows:
    """The rows of one split where one task's label is observed."""

    labels: np.ndarray
    """(rows,) float64."""
    users: np.ndarray
    """(rows,) int64: 0 … user_count - 1."""
    user_count: int
    predictions: dict[str, np.ndarray]
    """Model name → (rows,) float64."""


def label_column(task: str) -> str:
    return f"label/{task}"


def prediction_column(model: str, task: str) -> str:
    return f"prediction/{model}/{task}"


def model_names(predictions: pl.DataFrame, task: str, candidate: str) -> list[str]:
    """Models that predict `task`, in column order, the candidate last.

    Raises UserError when the candidate is not among them.
    """
    prefix, suffix = "prediction/", f"/{task}"
    names = [
        column[len(prefix) : -len(suffix)]
        for column in predictions.columns
        if column.startswith(prefix) and column.endswith(suffix)
    ]
    if candidate not in names:
        raise UserError(
            f"task {task}: the predictions hold no column {prediction_column(candidate, task)}; "
            f"models found: {', '.join(names) or 'none'}. Materialize the model again."
        )
    return [name for name in names if name != candidate] + [candidate]


def check_predictions(predictions: pl.DataFrame, task: Task, models: list[str]) -> None:
    """Refuse what no metric may hide: NaN, infinite or missing predictions, probabilities outside [0, 1].

    All rows are looked at, also those whose label is not observed. Raises UserError naming task and model.
    """
    for model in models:
        value = pl.col(prediction_column(model, task.name)).cast(pl.Float64)
        refuse_rows(
            predictions.filter(value.is_null() | ~value.is_finite()),
            predictions.height,
            f"task {task.name}, model {model}",
            "predictions are NaN, infinite or missing",
            "Look at that model's training log; a lower learning rate or cleaner numeric features may help",
        )
        if task.kind == "binary":
            refuse_rows(
                predictions.filter(~value.is_between(0, 1)),
                predictions.height,
                f"task {task.name}, model {model}",
                "predictions are outside [0, 1]",
                "A binary task needs probabilities; apply the sigmoid to the model's output",
            )


def check_labels(predictions: pl.DataFrame, task: Task) -> None:
    """Refuse infinite labels, and labels of a binary task other than 0 and 1. Raises UserError."""
    label = pl.col(label_column(task.name)).cast(pl.Float64)
    wrong = (label != 0) & (label != 1) if task.kind == "binary" else ~label.is_finite()
    refuse_rows(
        predictions.filter(label.is_not_null() & wrong),
        predictions.height,
        f"task {task.name}",
        "labels are neither 0, 1 nor null" if task.kind == "binary" else "labels are NaN or infinite",
        f"Mend column {task.column} in the pipeline's interactions.sql",
    )


def refuse_rows(wrong: pl.DataFrame, rows: int, where: str, what: str, remedy: str) -> None:
    if wrong.height:
        first = wrong["example_id"][0]
        raise UserError(
            f"{where}: {wrong.height:,} of {rows:,} {what} (first: example_id {first}). {remedy}."
        )


def task_rows(predictions: pl.DataFrame, task: str, models: list[str], split: str) -> TaskRows:
    """The observed rows of `split` as arrays."""
    observed = predictions.filter(pl.col("split") == split, pl.col(label_column(task)).is_not_null())
    users = observed["user_id"].rank("dense").to_numpy().astype(np.int64) - 1
    return TaskRows(
        labels=as_floats(observed[label_column(task)]),
        users=users,
        user_count=int(users.max()) + 1 if len(users) else 0,
        predictions={model: as_floats(observed[prediction_column(model, task)]) for model in models},
    )


def as_floats(column: pl.Series) -> np.ndarray:
    return column.cast(pl.Float64).to_numpy()
