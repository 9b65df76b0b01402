"""Rows in order of their scores: what ROC-AUC needs, per user and resampled."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Levels:
    """The distinct scores, numbered from the lowest; rows that tie share a level."""

    level: np.ndarray
    """(rows,) int32: level of each row."""
    rows: np.ndarray
    """(levels,) int: rows at each level."""


def score_levels(scores: np.ndarray) -> Levels:
    """Of `scores` (rows,), which are sorted once."""
    order = np.argsort(scores)
    ordered = scores[order]
    starts = (
        np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(scores) else np.zeros(0, np.int64)
    )
    rows = np.diff(np.r_[starts, len(scores)])
    level = np.empty(len(scores), np.int32)
    level[order] = np.repeat(np.arange(len(rows), dtype=np.int32), rows)
    return Levels(level, rows)


def group_bins(levels: Levels, most: int) -> np.ndarray:
    """(levels,) int32: the bin of each level. Few levels get a bin each, more share bins of about equally many rows."""
    count = len(levels.rows)
    if count <= most:
        return np.arange(count, dtype=np.int32)
    starts = np.cumsum(levels.rows) - levels.rows
    return run_numbers(starts * most // levels.rows.sum())


def run_numbers(ascending: np.ndarray) -> np.ndarray:
    """[3, 3, 7, 9] → [0, 0, 1, 2]."""
    return np.cumsum(np.diff(ascending, prepend=ascending[:1]) != 0, dtype=np.int32)


def grouped_roc_auc(labels: np.ndarray, level: np.ndarray, groups: np.ndarray) -> float:
    """GAUC: the mean of each group's own ROC-AUC, weighted by its rows, over the groups that have both labels
    (Zhu et al. 2017, "Optimized cost per click in Taobao display advertising"). NaN where no group has both.

    `labels` (rows,) of 0 and 1, `level` (rows,) from `score_levels`, `groups` (rows,) int below 2³¹.
    """
    key = np.sort((groups.astype(np.int64) << 32) | (level.astype(np.int64) << 1) | (labels > 0))
    if len(key) == 0:
        return math.nan
    roc_auc, rows = roc_auc_by_group(key)
    both = ~np.isnan(roc_auc)
    return float(np.average(roc_auc[both], weights=rows[both])) if both.any() else math.nan


def roc_auc_by_group(key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ROC-AUC (NaN where a group has one label only) and rows of each group that occurs, in ascending order.

    `key` (rows,) int64, ascending, at least one row: group << 32 | level << 1 | label, packed into one integer so that
    a single sort gives both groups and ranks. A group's ROC-AUC is Mann-Whitney's, from the ranks of its positive rows,
    ties at their mean rank.
    """
    place = np.flatnonzero(np.r_[True, key[1:] >> 1 != key[:-1] >> 1])
    ends = np.r_[place[1:], len(key)]
    positives = np.add.reduceat(key & 1, place)
    group = run_numbers(key[place] >> 32)
    rows = np.bincount(group, weights=ends - place)
    positive = np.bincount(group, weights=positives)
    rank_sum = np.bincount(group, weights=positives * ((place + ends - 1) / 2))
    negative, first = rows - positive, np.cumsum(rows) - rows
    ranked_right = rank_sum - positive * first - positive * (positive - 1) / 2
    pairs = positive * negative
    return np.divide(ranked_right, pairs, out=np.full(len(rows), np.nan), where=pairs > 0), rows
