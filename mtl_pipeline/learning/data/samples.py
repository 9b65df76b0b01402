"""Some rows of each task, where looking at all of them would cost too much."""

from __future__ import annotations

import numpy as np
import polars as pl


def observed_samples(labels: np.ndarray, most: int, seed: int) -> list[np.ndarray]:
    """For each task at most `most` random rows on which it was observed: row numbers, rising.

    `labels`: float [rows, tasks], NaN where not observed. Tasks observed on the same rows get the same sample.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    observed = ~np.isnan(labels)
    return [np.sort(order[observed[order, task]][:most]) for task in range(labels.shape[1])]


def drawn_rows(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most so many of the rows, which are numbered and rising: those of the lowest hashes, so that few are among
    more of the same seed."""
    if len(rows) <= most:
        return rows
    hashes = pl.Series(rows).hash(seed).to_numpy()
    return rows[hashes <= np.partition(hashes, most - 1)[most - 1]]
