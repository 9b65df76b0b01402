"""Gradient-boosted trees (LightGBM; Ke et al., NeurIPS 2017), stopped on validation as the networks are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import torch

from mtl_pipeline.kinds import KINDS
from mtl_pipeline.learning.baselines.simple import constant_answers
from mtl_pipeline.spec import Task

MOST_TREES, PATIENCE = 500, 20
"""Trees (for each class), and how many without a lower validation loss end training."""
MOST_THREADS, ROWS_PER_THREAD = 8, 100_000
"""Threads wait for each other at every node of a tree; with fewer rows that takes longer than the work they share."""
SETTINGS = {"learning_rate": 0.1, "num_leaves": 31, "max_bin": 63, "verbosity": -1}
REPRODUCIBLE = {"deterministic": True, "force_row_wise": True, "seed": 0}
"""With any number of threads. Quantised gradients would be faster, but their rounding depends on it."""


def boosted_answers(
    task: Task,
    inputs: np.ndarray,
    labels: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray],
    rows: np.ndarray,
) -> np.ndarray:
    """Fit trees and predict `rows`, as `linear_answers`. `validation`: inputs and observed labels."""
    if len(np.unique(labels)) == 1 or inputs.shape[1] == 0:
        return constant_answers(task, labels, len(rows))
    parameters = {
        **SETTINGS,
        **REPRODUCIBLE,
        "objective": KINDS[task.kind].tree_objective,
        "num_class": max(1, len(task.classes)),
        "num_threads": max(1, min(MOST_THREADS, torch.get_num_threads(), len(labels) // ROWS_PER_THREAD)),
    }
    train = lightgbm.Dataset(inputs, labels)
    stop_on = [lightgbm.Dataset(*validation, reference=train)] if len(validation[1]) else []
    stopping: list[Callable[..., Any]] = [lightgbm.early_stopping(PATIENCE, verbose=False) for _ in stop_on]
    trees = lightgbm.train(parameters, train, MOST_TREES, valid_sets=stop_on, callbacks=stopping)
    return np.asarray(trees.predict(rows), dtype=np.float64)
