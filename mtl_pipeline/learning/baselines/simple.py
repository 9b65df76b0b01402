"""The constant answer and the linear models."""

from __future__ import annotations

import numpy as np

from mtl_pipeline.kinds import KINDS
from mtl_pipeline.spec import Task


def constant_answers(task: Task, labels: np.ndarray, rows: int) -> np.ndarray:
    """The mean label, or the share of each class, for every row."""
    answer = KINDS[task.kind].constant_prediction(labels, len(task.classes))
    return np.tile(answer, (rows, 1) if task.classes else rows)


def linear_answers(task: Task, inputs: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Fit a linear model and predict `rows`: float64 [rows], or [rows, classes].

    Where training has one label only, or there are no inputs, the answer is constant.
    """
    if len(np.unique(labels)) == 1 or inputs.shape[1] == 0:
        return constant_answers(task, labels, len(rows))
    kind = KINDS[task.kind]
    return kind.fitted_predictions(kind.linear_model().fit(inputs, labels), rows, len(task.classes))
