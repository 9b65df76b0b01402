"""The constant answer, each item's own, and the linear models."""

from __future__ import annotations

import numpy as np

from mtl_pipeline.kinds import KINDS
from mtl_pipeline.spec import Task

PRIOR_LABELS = 3.0


def constant_answers(task: Task, labels: np.ndarray, rows: int) -> np.ndarray:
    """The mean label, or the share of each class, for every row."""
    answer = KINDS[task.kind].constant_prediction(labels, len(task.classes))
    return np.tile(answer, (rows, 1) if task.classes else rows)


def popularity_answers(task: Task, items: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The mean label, or the share of each class, of each row's item in training: as many labels as PRIOR_LABELS of all
    items are added. `items`, and `rows`, of the held-out rows: vocabulary indices."""
    answer = np.atleast_1d(KINDS[task.kind].constant_prediction(labels, len(task.classes)))
    values = np.eye(len(task.classes))[labels.astype(int)] if task.classes else labels[:, None]
    size = max(items.max(), rows.max()) + 1
    sums = np.stack([np.bincount(items, column, size) for column in values.T], 1)
    counts = np.bincount(items, minlength=size)[:, None]
    means = ((sums + PRIOR_LABELS * answer) / (counts + PRIOR_LABELS))[rows]
    return means if task.classes else means[:, 0]


def linear_answers(task: Task, inputs: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Fit a linear model and predict `rows`: float64 [rows], or [rows, classes].

    Where training has one label only, or there are no inputs, the answer is constant.
    """
    if len(np.unique(labels)) == 1 or inputs.shape[1] == 0:
        return constant_answers(task, labels, len(rows))
    kind = KINDS[task.kind]
    return kind.fitted_predictions(kind.linear_model().fit(inputs, labels), rows, len(task.classes))
