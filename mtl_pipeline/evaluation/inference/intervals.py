"""Paired bootstrap intervals, clustered by user.

Rows of one user are alike, so users are drawn, not rows; where nobody knows the users, each row is drawn by
itself. In a resample each cluster counts as often as a Poisson variable of mean one says: that is drawing with
replacement without fixing how many are drawn (Hanley & MacGibbon 2006, "Creating non-parametric bootstrap
samples using Poisson frequencies"). Every model sees the same counts: what remains is the difference between
the models, not between the users. Clusters as in Field & Welsh (2007), "Bootstrapping clustered data".

Percentile intervals (Efron 1979) of few users are too narrow, and more so where a few active users decide: of the
95 % promised, 89 to 93 % are kept with 30 to 100 users whose activity is skewed. So they are expanded, from the
normal quantile to Student's, as in Hesterberg (2015), "What teachers should know about the bootstrap". Degrees of
freedom are those of the variance of the sum over users: matched to its first two moments (Satterthwaite 1946; for
clusters Bell & McCaffrey 2002), they fall below users - 1 as far as single users decide. BCa intervals (Efron
1987; DiCiccio & Efron 1996) and studentized ones did no better; benchmarks/README.md has the figures.

Every metric that is compared depends on the rows through sums over them only, so a resample is a product of two
matrices, what each cluster adds to each sum (sparse) times how often each cluster counts (dense), for many
resamples at once. The sums of a mean loss are the loss and the rows. Those of ROC-AUC are the positive and the
negative rows in each of at most `BINS` bins of scores, ties together; in a bin every pair counts as a tie. With
no more distinct scores than bins that is exact. With more, the shift between the binned and the exact ROC-AUC of
all rows is added to every resample; what is left is far below the width of the interval (a test says how far).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse, stats

from mtl_pipeline.metrics.ranking import group_bins, score_levels
from mtl_pipeline.metrics.threads import in_threads

CONFIDENCE = 0.95

BETTER = "better"
WORSE = "worse"
UNDECIDED = "no difference shown"
INCOMPARABLE = "incomparable"
"""Where there is no interval to found a verdict on."""

BINS = 2048
SAMPLES_AT_ONCE = 128
CLUSTERS_AT_ONCE = 8192
"""Weights of this many clusters and samples, 4 MiB, stay in the cache while every statistic uses them."""

MOST_INFLUENCES = 100_000
"""Clusters beyond which Student's quantile is taken to be the normal one."""

FEWEST_FREEDOM = 2.0

NORMAL_QUANTILE = float(stats.norm.ppf((1 + CONFIDENCE) / 2))

POISSON = stats.poisson.ppf((np.arange(2**16) + 0.5) / 2**16, mu=1).astype(np.float32)
"""Poisson counts of mean one by 16 random bits: ten times as fast as drawing them one by one."""


Key = tuple[str, ...]
"""Model and metric, or whatever else tells one resampled number from another."""


@dataclass(frozen=True)
class Interval:
    low: float
    high: float
    note: str = ""


@dataclass(frozen=True)
class Statistic:
    """Metrics that depend on the rows through sums over them only."""

    sums: sparse.csc_array | np.ndarray
    """(sums, clusters): what each cluster adds to each sum."""
    values: Callable[[np.ndarray], np.ndarray]
    """From the sums, (sums, samples), to the metrics, (metrics, samples); NaN where they are undefined."""
    gradient: Callable[[np.ndarray], np.ndarray] | None = None
    """From the sums of all rows, (sums,), to the derivative of each metric by each sum, (metrics, sums)."""


def roc_auc_statistic(labels: np.ndarray, scores: np.ndarray, clusters: np.ndarray, count: int) -> Statistic:
    """ROC-AUC of rows that are sorted by cluster: the share of (positive, negative) pairs that are ranked right,
    a tie counting one half."""
    levels = score_levels(scores)
    bins = group_bins(levels, BINS)
    cell = 2 * bins[levels.level] + (labels > 0)
    starts = np.searchsorted(clusters, np.arange(count + 1))
    sums = sparse.csc_array(
        (np.ones(len(labels), np.float32), cell, starts), shape=(2 * (bins.max(initial=-1) + 1), count)
    )
    shift = 0.0
    if len(bins) > BINS:
        by_level = np.bincount(2 * levels.level + (labels > 0), minlength=2 * len(levels.rows))
        by_bin = np.bincount(cell, minlength=sums.shape[0])
        shift = float(roc_auc_of_counts(by_level[:, None])[0] - roc_auc_of_counts(by_bin[:, None])[0])
    return Statistic(sums, lambda counts: (roc_auc_of_counts(counts) + shift)[None], roc_auc_gradient)


def roc_auc_of_counts(counts: np.ndarray) -> np.ndarray:
    """(samples,) from (2 × bins, samples): negative and positive rows by turns, lowest scores first."""
    negative, positive = counts[0::2].astype(np.float64), counts[1::2]
    pairs = negative.sum(axis=0) * positive.sum(axis=0, dtype=np.float64)
    ranked_right = np.cumsum(negative, axis=0) - negative / 2
    ranked_right *= positive
    return np.divide(ranked_right.sum(axis=0), pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def roc_auc_gradient(counts: np.ndarray) -> np.ndarray:
    """(1, 2 × bins) from (2 × bins,), see `roc_auc_of_counts`; NaN where there is one class only."""
    negative, positive = counts[0::2].astype(np.float64), counts[1::2].astype(np.float64)
    negatives, positives = negative.sum(), positive.sum()
    if negatives == 0 or positives == 0:
        return np.full((1, len(counts)), np.nan)
    below = (np.cumsum(negative) - negative / 2) / negatives
    above = (positives - np.cumsum(positive) + positive / 2) / positives
    roc_auc = below @ positive / positives
    gradient = np.empty(len(counts))
    gradient[0::2] = (above - roc_auc) / negatives
    gradient[1::2] = (below - roc_auc) / positives
    return gradient[None]


def mean_statistic(losses: Iterable[np.ndarray], clusters: np.ndarray, count: int) -> Statistic:
    """The mean of each of `losses`, arrays (rows,)."""
    sums = [np.bincount(clusters, weights=loss, minlength=count) for loss in losses]
    sums.append(np.bincount(clusters, minlength=count).astype(np.float64))
    width = len(sums)
    cell = np.tile(np.arange(width, dtype=np.int32), count)
    by_cluster = np.stack(sums, axis=1).reshape(-1)

    def means(totals: np.ndarray) -> np.ndarray:
        rows = totals[-1]
        return np.divide(totals[:-1], rows, out=np.full_like(totals[:-1], np.nan), where=rows > 0)

    def gradient(totals: np.ndarray) -> np.ndarray:
        rows = totals[-1]
        by_rows = -totals[:-1, None] / rows**2
        return np.concatenate([np.eye(width - 1) / rows, by_rows], axis=1)

    starts = width * np.arange(count + 1)
    return Statistic(sparse.csc_array((by_cluster, cell, starts), shape=(width, count)), means, gradient)


def resample(
    statistics: Sequence[tuple[Sequence[Key], Statistic]], clusters: int, samples: int, seed: int
) -> dict[Key, np.ndarray]:
    """Key → (samples,): every metric on the same resamples. Each of `statistics` comes
    with the keys of what it computes.

    Each block of samples and clusters has a random stream of its own, and is added up in one order, so the
    result does not depend on the number of threads.
    """

    def some_samples(first: int) -> np.ndarray:
        width = min(SAMPLES_AT_ONCE, samples - first)
        totals = [np.zeros((statistic.sums.shape[0], width)) for _, statistic in statistics]
        for start in range(0, clusters, CLUSTERS_AT_ONCE):
            stop = min(start + CLUSTERS_AT_ONCE, clusters)
            bits = np.random.default_rng([seed, first, start])
            weights = POISSON[bits.integers(2**16, size=(stop - start, width), dtype=np.uint16)]
            for place, (_, statistic) in enumerate(statistics):
                totals[place] += statistic.sums[:, start:stop] @ weights
        return np.concatenate(
            [statistic.values(total) for (_, statistic), total in zip(statistics, totals, strict=True)]
        )

    values = np.concatenate(in_threads(some_samples, range(0, samples, SAMPLES_AT_ONCE)), axis=1)
    return dict(zip((key for keys, _ in statistics for key in keys), values, strict=True))


def influences(statistics: Sequence[tuple[Sequence[Key], Statistic]], clusters: int) -> dict[Key, np.ndarray]:
    """Key → (clusters,): by how much each metric would grow, per time that a cluster counts once more (the empirical
    influence function). Empty where there are so many clusters that nothing depends on it."""
    if clusters > MOST_INFLUENCES:
        return {}
    found: dict[Key, np.ndarray] = {}
    for keys, statistic in statistics:
        if statistic.gradient:
            totals = np.asarray(statistic.sums.sum(axis=1), dtype=np.float64)
            found |= zip(keys, statistic.gradient(totals) @ statistic.sums, strict=True)
    return found


def expanded_quantile(clusters: int, influence: np.ndarray | None = None) -> float:
    """Student's quantile in place of the normal one, also making up for the bootstrap's variance being too small by
    1 / clusters. `influence` (clusters,) of what is compared; without it the clusters are taken to weigh the same."""
    if clusters < 2:
        return NORMAL_QUANTILE
    freedom = clusters - 1.0
    if influence is not None:
        squares = np.square(influence, dtype=np.float64)
        total = squares.sum()
        spread = np.square(squares).sum() - total**2 / clusters
        if spread > 0:
            freedom = min(freedom, max(FEWEST_FREEDOM, 2 * total**2 / spread))
    return math.sqrt(clusters / (clusters - 1)) * float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))


def percentile_interval(differences: np.ndarray, quantile: float = NORMAL_QUANTILE) -> Interval:
    """The middle of the resampled differences: 95 %, or more where `quantile` is an expanded one. Resamples where it
    is undefined are left out, and noted."""
    defined = differences[np.isfinite(differences)]
    if len(defined) == 0:
        return Interval(math.nan, math.nan, "undefined in every resample")
    tail = float(stats.norm.cdf(-quantile))
    low, high = np.quantile(defined, [tail, 1 - tail])
    missing = len(differences) - len(defined)
    note = f"undefined in {missing} of {len(differences)} resamples (one class only)" if missing else ""
    return Interval(float(low), float(high), note)


@dataclass(frozen=True)
class Resampled:
    """Metrics on the same resamples, ready to be compared."""

    values: dict[Key, np.ndarray]
    """(samples,) each."""
    influences: dict[Key, np.ndarray]
    """(clusters,) each, see `influences`; may be empty."""
    clusters: int

    def paired_interval(self, ours: Key, theirs: Key) -> Interval:
        """Of ours minus theirs."""
        return percentile_interval(self.values[ours] - self.values[theirs], self.quantile([(ours, theirs)]))

    def quantile(self, pairs: Sequence[tuple[Key, Key]]) -> float:
        """Expanded for the mean over `pairs` of ours minus theirs."""
        if not self.influences:
            return expanded_quantile(self.clusters)
        differences = [self.influences[ours] - self.influences[theirs] for ours, theirs in pairs]
        return expanded_quantile(self.clusters, np.mean(differences, axis=0))


def verdict(interval: Interval, higher_is_better: bool) -> str:
    """'better' or 'worse' only when the whole interval lies on one side of zero."""
    if interval.low > 0 or interval.high < 0:
        return BETTER if (interval.low > 0) == higher_is_better else WORSE
    return UNDECIDED
