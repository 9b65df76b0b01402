"""The wide predictions frame: one row per validation or test example, one column per model and task.

Columns: `example_id`, `user_id` where there are users, `split`, `label/<task>` (null = not observed; the index of
the class for a task with classes) and `prediction/<model>/<task>`: a probability for a binary task, a value for a
regression, an expected count for a count, and an array of a probability per class for a task with classes. Where
calibration changed a prediction, `uncalibrated/<model>/<task>` holds what it was before; that is no model of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from mtl_pipeline.errors import UserError
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.spec import Task

PREDICTED = pl.col("^(prediction|uncalibrated)/.*$")
"""What models predicted, before and after calibration."""
CEILING = "ceiling"
"""The model that answers with a simulator's true probabilities: nothing predicts better."""
CONSTANT = "constant"
"""The model that gives every row the same answer."""
CANDIDATE = "multi_task"
"""The model that is put forward: one network for all tasks, replaced by, or averaged with, a task's
own network where the guard found that validation rows favour that."""
WITHOUT_TEXT = "without_text"
"""The candidate's network, trained without text vectors."""
SINGLE_TASK = "single_task"
"""The same network as the candidate's, trained for one task alone."""
JOINT, OWN, MEAN = "joint", "own", "mean"
"""What may predict a task of the candidate: the networks for all tasks, those for this task alone, or both."""
CHAMPION = "champion"
"""The model that recommends until another one is promoted, where it is not the candidate itself."""


@dataclass(frozen=True)
class TaskRows:
    """The rows of one split where one task's label is observed, sorted by cluster."""

    labels: np.ndarray
    """(rows,) float64."""
    clusters: np.ndarray
    """(rows,) int64: 0 … cluster_count - 1. What the bootstrap draws: users, or rows where there are none."""
    cluster_count: int
    has_users: bool
    predictions: dict[str, np.ndarray]
    """Model name → (rows,) float64, or (rows, classes) for a multiclass task."""

    @property
    def users(self) -> int | None:
        """How many users there are, where users are known."""
        return self.cluster_count if self.has_users else None


def label_column(task: str) -> str:
    return f"label/{task}"


def prediction_column(model: str, task: str) -> str:
    return f"prediction/{model}/{task}"


def uncalibrated_column(model: str, task: str) -> str:
    return f"uncalibrated/{model}/{task}"


def plain_prediction_column(task: str) -> str:
    """In a frame whose rows are those of one model each."""
    return f"prediction/{task}"


def plainly_predicted(frame: pl.DataFrame) -> list[str]:
    """The tasks that such a frame predicts."""
    prefix = plain_prediction_column("")
    return [column.removeprefix(prefix) for column in frame.columns if column.startswith(prefix)]


def predicting_model(column: str) -> str | None:
    """The model whose predictions, as they are or before calibration, a column of the wide frame holds."""
    kind, _, rest = column.partition("/")
    return rest.partition("/")[0] if kind in ("prediction", "uncalibrated") else None


def has_users(predictions: pl.DataFrame) -> bool:
    return "user_id" in predictions.columns


def model_names(predictions: pl.DataFrame, task: str, candidate: str) -> list[str]:
    """Models that predict `task`: the baselines in column order, the candidate, and last the ceiling.

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
    return sorted(names, key=lambda name: (name == CEILING, name == candidate))


def check_predictions(predictions: pl.DataFrame, task: Task, models: list[str]) -> None:
    """Refuse what no metric may hide: NaN, infinite, missing or impossible predictions. Raises UserError.

    Looks at all rows, also those whose label is not observed; the ceiling is known only where it is.
    """
    for model in models:
        check_type(predictions, task, model)
        values = prediction_values(task, model)
        rows, where = predictions, f"task {task.name}, model {model}"
        if model == CEILING:
            rows = rows.filter(pl.col(label_column(task.name)).is_not_null())
        refuse_rows(
            rows.filter(pl.any_horizontal(value.is_null() | ~value.is_finite() for value in values)),
            rows.height,
            where,
            "predictions are NaN, infinite or missing",
            "Look at that model's training log; a lower learning rate or cleaner numeric features may help",
        )
        for fault in KINDS[task.kind].prediction_faults(values):
            refuse_rows(rows.filter(fault.wrong), rows.height, where, fault.what, fault.remedy)


def prediction_values(task: Task, model: str) -> list[pl.Expr]:
    """The numbers that a model predicts for a row: one, or one per class."""
    column = pl.col(prediction_column(model, task.name))
    if not KINDS[task.kind].has_classes:
        return [column.cast(pl.Float64)]
    return [column.arr.get(place).cast(pl.Float64) for place in range(len(task.classes))]


def check_type(predictions: pl.DataFrame, task: Task, model: str) -> None:
    name = prediction_column(model, task.name)
    dtype = predictions.schema[name]
    classes = dtype.shape[0] if isinstance(dtype, pl.Array) else 0
    if classes != len(task.classes):
        wanted = f"an Array of {len(task.classes)} probabilities" if task.classes else "one number"
        raise UserError(
            f"task {task.name}, model {model}: column {name} holds {dtype}; a {task.kind} task needs {wanted} "
            "in each row. Materialize the model and the baselines again."
        )


def check_labels(predictions: pl.DataFrame, task: Task) -> None:
    """Refuse labels that the kind of task does not allow. Raises UserError."""
    label = pl.col(label_column(task.name)).cast(pl.Float64)
    fault = KINDS[task.kind].label_fault(label, len(task.classes))
    refuse_rows(
        predictions.filter(label.is_not_null() & fault.wrong),
        predictions.height,
        f"task {task.name}",
        fault.what,
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
    rows, cluster = observed_rows(predictions, task, split), pl.row_index()
    if has_users(predictions):
        rows, cluster = rows.sort("user_id", maintain_order=True), pl.col("user_id").rle_id()
    columns = [label_column(task), *(prediction_column(model, task) for model in models)]
    frame = rows.select(cluster.alias("cluster"), *columns).collect()
    labels, *predicted = (as_floats(frame[column]) for column in columns)
    return TaskRows(
        labels=labels,
        clusters=frame["cluster"].to_numpy().astype(np.int64),
        cluster_count=frame["cluster"].n_unique(),
        has_users=has_users(predictions),
        predictions=dict(zip(models, predicted, strict=True)),
    )


def before_calibration(
    predictions: pl.DataFrame, task: str, model: str, split: str
) -> tuple[np.ndarray, np.ndarray] | None:
    """Labels of the observed rows of `split` and what the model predicted for them before it was calibrated; None
    where calibration changed nothing."""
    label, column = label_column(task), uncalibrated_column(model, task)
    if column not in predictions.columns:
        return None
    rows = observed_rows(predictions, task, split).select(label, column).collect()
    return as_floats(rows[label]), as_floats(rows[column])


def observed_rows(predictions: pl.DataFrame, task: str, split: str) -> pl.LazyFrame:
    return predictions.lazy().filter(pl.col("split") == split, pl.col(label_column(task)).is_not_null())


def as_floats(column: pl.Series) -> np.ndarray:
    """(rows,) or, for an array column, (rows, width)."""
    return column.to_numpy().astype(np.float64)
