"""Some rows of each task, where looking at all of them would cost too much."""

from __future__ import annotations

import numpy as np


def observed_samples(labels: np.ndarray, most: int, seed: int) -> list[np.ndarray]:
    """Of each task at most `most` rows on which it was observed, drawn at random: row numbers, rising.

    `labels`: float [rows, tasks], NaN where not observed. All tasks draw in the same random order of the rows, so
    tasks that were observed on the same rows get the same sample.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    observed = ~np.isnan(labels)
    return [np.sort(order[observed[order, task]][:most]) for task in range(labels.shape[1])]
