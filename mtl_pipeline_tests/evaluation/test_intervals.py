from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from mtl_pipeline.evaluation.inference.intervals import (
    BETTER,
    BINS,
    MOST_INFLUENCES,
    POISSON,
    UNDECIDED,
    WORSE,
    Interval,
    Statistic,
    expanded_quantile,
    influences,
    mean_statistic,
    percentile_interval,
    resample,
    roc_auc_statistic,
    verdict,
)
from mtl_pipeline.metrics.losses import log_losses

ROWS, USERS = 3_000, 40
ROC_AUC = ("a model", "roc_auc")
MEAN = ("a model", "mean")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize("distinct_scores", [1, 2, 7, 100, 1_000_000], ids="{} distinct scores".format)
def test_weighted_roc_auc_is_that_of_scikit_learn_ties_included(
    rng: np.random.Generator, distinct_scores: int
) -> None:
    labels = (rng.random(ROWS) < 0.3).astype(float)
    scores = rng.integers(distinct_scores, size=ROWS) + 0.5 * labels.round() * (distinct_scores > 2)
    each_row_a_user = roc_auc_statistic(labels, scores, np.arange(ROWS), ROWS)
    rounding = 1e-12 if len(np.unique(scores)) <= BINS else 1e-5
    assert weighted(each_row_a_user, np.ones(ROWS)) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    weights = rng.integers(5, size=ROWS).astype(float)
    expected = roc_auc_score(labels, scores, sample_weight=weights)
    assert weighted(each_row_a_user, weights) == pytest.approx(expected, abs=rounding)


@pytest.mark.parametrize("positives", [0.5, 0.01], ids="{} positive".format)
def test_binning_scores_moves_no_end_of_an_interval_by_a_hundredth_of_its_width(positives: float) -> None:
    """With fewer than a tenth of the bins, so that binning has something to move."""
    rng = np.random.default_rng(0)
    labels = (rng.random(40_000) < positives).astype(float)
    scores = labels + 1.5 * rng.normal(size=40_000)
    users = np.sort(rng.integers(500, size=40_000))
    ends = {}
    for bins in (40_000, 200):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mtl_pipeline.evaluation.inference.intervals.BINS", bins)
            statistic = roc_auc_statistic(labels, scores, users, 500)
        values = resample([([ROC_AUC], statistic)], 500, 200, seed=0)[ROC_AUC]
        ends[bins] = np.quantile(values, [0.025, 0.975])
    assert np.abs(ends[200] - ends[40_000]).max() < 0.01 * np.ptp(ends[40_000])


def test_a_user_drawn_twice_counts_as_two_copies_of_all_its_rows(rng: np.random.Generator) -> None:
    labels, scores, users = random_rows(rng)
    copied = np.flatnonzero(users == 3)
    twice = np.r_[np.arange(ROWS), copied]
    weights = np.where(np.arange(USERS) == 3, 2.0, 1.0)
    roc_auc = weighted(roc_auc_statistic(labels, scores, users, USERS), weights)
    assert roc_auc == pytest.approx(roc_auc_score(labels[twice], scores[twice]), abs=1e-12)
    mean = weighted(mean_statistic([log_losses(labels, scores)], users, USERS), weights)
    assert mean == pytest.approx(log_loss(labels[twice], scores[twice]), abs=1e-12)


def test_log_losses_are_clipped_as_in_scikit_learn() -> None:
    labels, probabilities = np.array([1.0, 0, 1, 0]), np.array([0.0, 0.0, 1.0, 1.0])
    assert log_losses(labels, probabilities).mean() == pytest.approx(log_loss(labels, probabilities))


def test_roc_auc_of_one_class_is_undefined() -> None:
    labels, scores, users = np.array([1.0, 1, 0]), np.array([0.3, 0.2, 0.1]), np.array([0, 0, 1])
    assert math.isnan(weighted(roc_auc_statistic(labels, scores, users, 2), np.array([2.0, 0])))


def test_resamples_that_miss_a_class_are_left_out_and_counted() -> None:
    interval = percentile_interval(np.array([0.1, np.nan, 0.1, 0.1]))
    assert (interval.low, interval.high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert "1 of 4" in interval.note


def test_same_seed_same_resamples_whatever_the_threads(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    statistics = [([ROC_AUC], roc_auc_statistic(*random_rows(rng), USERS))]
    first = resample(statistics, USERS, samples=300, seed=1)[ROC_AUC]
    monkeypatch.setattr("mtl_pipeline.metrics.threads.MOST_THREADS", 8)
    assert np.array_equal(first, resample(statistics, USERS, samples=300, seed=1)[ROC_AUC])
    assert not np.array_equal(first, resample(statistics, USERS, samples=300, seed=2)[ROC_AUC])
    assert len(np.unique(first)) == 300  # no stream of random numbers is used twice


def test_copying_every_row_of_every_user_gains_no_certainty(rng: np.random.Generator) -> None:
    """What clustering is for: rows of one user are not independent."""
    labels, scores, users = random_rows(rng)
    once = roc_auc_statistic(labels, scores, users, USERS)
    copied = [np.repeat(column, 10) for column in (labels, scores, users)]
    tenfold = roc_auc_statistic(copied[0], copied[1], copied[2], USERS)
    values = resample([([ROC_AUC], once), ([("copied", "roc_auc")], tenfold)], USERS, 50, seed=0)
    assert values["copied", "roc_auc"] == pytest.approx(values[ROC_AUC], abs=1e-12)


def test_poisson_counts_have_the_mean_and_variance_of_one() -> None:
    assert pytest.approx(1, abs=1e-3) == POISSON.mean()
    assert pytest.approx(1, abs=1e-3) == POISSON.var()
    assert np.bincount(POISSON.astype(int))[:2] / len(POISSON) == pytest.approx([math.exp(-1)] * 2, abs=1e-4)


def test_intervals_of_a_mean_cover_it_nineteen_times_in_twenty(rng: np.random.Generator) -> None:
    covered = 0
    for trial in range(200):
        user_means = rng.normal(size=100)
        users = np.repeat(np.arange(100), 5)
        statistic = mean_statistic([user_means[users] + rng.normal(size=500)], users, 100)
        interval = percentile_interval(resample([([MEAN], statistic)], 100, 200, seed=trial)[MEAN])
        covered += interval.low <= 0 <= interval.high
    assert 175 <= covered <= 199  # 190 expected, standard deviation 3


def test_influences_are_what_one_more_copy_of_a_user_changes(rng: np.random.Generator) -> None:
    labels, scores, users = random_rows(rng)
    statistics = [
        ([ROC_AUC], roc_auc_statistic(labels, scores, users, USERS)),
        ([MEAN], mean_statistic([log_losses(labels, scores)], users, USERS)),
    ]
    found = influences(statistics, USERS)
    for (key,), statistic in statistics:
        before = weighted(statistic, np.ones(USERS))
        for user in (0, 7, USERS - 1):
            weights = np.ones(USERS)
            weights[user] += 1e-4
            expected = (weighted(statistic, weights) - before) / 1e-4
            assert found[key][user] == pytest.approx(expected, rel=1e-3)
        assert found[key].sum() == pytest.approx(0, abs=1e-9)


def test_student_s_quantile_has_one_degree_of_freedom_less_than_users_of_equal_weight() -> None:
    bootstrap_is_too_narrow = math.sqrt(20 / 19)
    student = 2.093 * bootstrap_is_too_narrow
    assert expanded_quantile(20) == pytest.approx(student, abs=1e-3)
    assert expanded_quantile(20, np.resize([1.0, -1.0], 20)) == pytest.approx(student, abs=1e-3)
    assert expanded_quantile(10**6) == pytest.approx(1.96, abs=1e-3)


def test_a_user_who_decides_alone_costs_degrees_of_freedom() -> None:
    even = np.resize([1.0, -1.0], 200)
    one_decides = np.where(np.arange(200) == 0, 30.0, even)
    assert expanded_quantile(200, even) < 2.0 < 2.5 < expanded_quantile(200, one_decides)


def test_influences_are_spared_where_nothing_depends_on_them(rng: np.random.Generator) -> None:
    users = np.arange(MOST_INFLUENCES + 1)
    assert (
        influences([([MEAN], mean_statistic([rng.random(len(users))], users, len(users)))], len(users)) == {}
    )


@pytest.mark.parametrize(
    ("low", "high", "higher_is_better", "expected"),
    [
        (0.01, 0.02, True, BETTER),
        (0.01, 0.02, False, WORSE),
        (-0.02, -0.01, True, WORSE),
        (-0.02, -0.01, False, BETTER),
        (-0.01, 0.02, True, UNDECIDED),
        (0.0, 0.02, True, UNDECIDED),
        (0.0, 0.0, True, UNDECIDED),
        (1e-16, 1e-15, True, UNDECIDED),
        (math.nan, math.nan, True, UNDECIDED),
    ],
)
def test_a_verdict_needs_the_whole_interval_on_one_side_of_zero(
    low: float, high: float, higher_is_better: bool, expected: str
) -> None:
    assert verdict(Interval(low, high), higher_is_better) == expected


def random_rows(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, tied scores in (0, 1) and users in order."""
    labels = (rng.random(ROWS) < 0.3).astype(float)
    scores = np.clip((0.3 + 0.1 * labels + 0.1 * rng.normal(size=ROWS)).round(2), 0.01, 0.99)
    return labels, scores, np.sort(rng.integers(USERS, size=ROWS))


def weighted(statistic: Statistic, weights: np.ndarray) -> float:
    """The one metric of `statistic` where each cluster counts as often as `weights` (clusters,) say."""
    return float(statistic.values(statistic.sums @ weights[:, None])[0, 0])
