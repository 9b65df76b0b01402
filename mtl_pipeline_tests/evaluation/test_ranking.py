from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mtl_pipeline.metrics.ranking import group_bins, grouped_roc_auc, score_levels


def test_gauc_of_a_case_worked_by_hand() -> None:
    users = np.array([0, 0, 0, 1, 1, 2, 2])
    labels = np.array([1.0, 0, 0, 1, 0, 1, 1])
    scores = np.array([0.5, 0.5, 0.9, 0.8, 0.1, 0.3, 0.2])
    # User 0: one tie and one pair ranked wrong, 1/4 of three rows. User 1: right. User 2 has no negative row.
    assert grouped_roc_auc(labels, score_levels(scores).level, users) == pytest.approx((3 * 0.25 + 2 * 1) / 5)


@pytest.mark.parametrize("digits", [1, 9], ids="scores of {} digits".format)
def test_gauc_is_the_weighted_mean_of_each_user_s_roc_auc(digits: int) -> None:
    rng = np.random.default_rng(digits)
    users = rng.integers(60, size=1_500)
    labels = (rng.random(1_500) < 0.1).astype(float)
    scores = (0.2 * labels + rng.random(1_500)).round(digits)
    rows = [users == user for user in range(60) if np.ptp(labels[users == user])]
    expected = np.average(
        [roc_auc_score(labels[own], scores[own]) for own in rows], weights=[own.sum() for own in rows]
    )
    assert 2 < len(rows) < 60  # some users are left out
    found = grouped_roc_auc(labels, score_levels(scores).level, users)
    assert found == pytest.approx(expected, abs=1e-12)


def test_gauc_without_a_user_who_has_both_labels_is_undefined() -> None:
    level = score_levels(np.array([0.1, 0.2])).level
    assert math.isnan(grouped_roc_auc(np.array([0.0, 1]), level, np.array([0, 1])))
    assert math.isnan(grouped_roc_auc(np.zeros(0), np.zeros(0), np.zeros(0, int)))


def test_levels_and_bins_keep_the_order_and_the_ties() -> None:
    levels = score_levels(np.array([0.5, 0.1, 0.5, 0.9]))
    assert levels.level.tolist() == [1, 0, 1, 2]
    assert levels.rows.tolist() == [1, 2, 1]
    assert group_bins(levels, most=3).tolist() == [0, 1, 2]
    assert group_bins(levels, most=2).tolist() == [0, 0, 1]
    even = group_bins(score_levels(np.random.default_rng(0).random(1_000)), most=10)
    assert np.bincount(even).tolist() == [100] * 10
