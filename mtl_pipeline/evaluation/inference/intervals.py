"""Paired bootstrap intervals, clustered by user.

Rows of one user are alike, so users are drawn, not rows; where nobody knows the users, each row is drawn by itself. In
a resample each cluster counts as often as a Poisson variable of mean one says, which is drawing with replacement
without fixing how many are drawn (Hanley & MacGibbon 2006, "Creating non-parametric bootstrap samples using Poisson
frequencies"). Every model sees the same counts, so what remains is the difference between the models, not between the
users. Clusters as in Field & Welsh (2007), "Bootstrapping clustered data".

Percentile intervals (Efron 1979) are too narrow for few users, and more so where a few active ones decide: with 30 to
100 users of skewed activity, 95 % intervals cover 89 to 93 %. So they are expanded from the normal quantile to
Student's, as in Hesterberg (2015), "What teachers should know about the bootstrap". The degrees of freedom are those of
the variance of the sum over users: matched to its first two moments (Satterthwaite 1946; for clusters Bell & McCaffrey
2002), they fall below users - 1 as far as single users decide. BCa intervals (Efron 1987; DiCiccio & Efron 1996) and
studentized ones did no better; benchmarks/README.md has the figures.

Every compared metric depends on the rows only through sums over them, so a resample is a product of two matrices: what
each cluster adds to each sum (sparse) times how often each cluster counts (dense), for many resamples at once. The sums
of a mean loss are the loss and the rows. Those of ROC-AUC are the positive and the negative rows in each of at most
`BINS` bins of scores, ties together; in a bin every pair counts as a tie. That is exact if there are no more distinct
scores than bins. Otherwise the shift between the binned and the exact ROC-AUC of all rows is added to every resample;
what is left is far below the width of the interval (a test says how far).
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
"""Where there is no interval to base a verdict on."""

BINS = 2048
SAMPLES_AT_ONCE = 128
CLUSTERS_AT_ONCE = 8192
"""Weights of this many clusters and samples, 4 MiB, stay in the cache while every statistic uses them."""

MOST_INFLUENCES = 100_000
"""Clusters beyond which Student's quantile is taken to be the normal one."""

FEWEST_FREEDOM = 2.0

ROUNDING = 1e-12
"""A difference that adding in another order may make: none."""

NORMAL_QUANTILE = float(stats.norm.ppf((1 + CONFIDENCE) / 2))

POISSON = stats.poisson.ppf((np.arange(2**16) + 0.5) / 2**16, mu=1).astype(np.float32)
"""Poisson counts of mean one by 16 random bits: ten times as fast as drawing them one by one."""

Key = tuple[str, ...]
"""Model and metric, or whatever else identifies a resampled number."""


@dataclass(frozen=True)
class Interval:
    low: float = math.nan
    high: float = math.nan
    note: str = ""
    """Why there is no interval, or what to know about it."""


@dataclass(frozen=True)
class Statistic:
    """Metrics that depend on the rows only through sums over them."""

    sums: sparse.csc_array | np.ndarray
    """(sums, clusters): what each cluster adds to each sum."""
    values: Callable[[np.ndarray], np.ndarray]
    """From the sums, (sums, samples), to the metrics, (metrics, samples); NaN where they are undefined."""
    gradient: Callable[[np.ndarray], np.ndarray] | None = None
    """From the sums over all rows, (sums,), to the derivative of each metric by each sum, (metrics, sums)."""


def roc_auc_statistic(labels: np.ndarray, scores: np.ndarray, clusters: np.ndarray, count: int) -> Statistic:
    """ROC-AUC of rows sorted by cluster: the share of (positive, negative) pairs that are ranked correctly, a tie
    counting one half."""
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
    """(samples,) from (2 × bins, samples): negative and positive rows alternating, lowest scores first."""
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
    """Key → (samples,): every metric on the same resamples. Each of `statistics` comes with the keys of its metrics.

    Each block of samples and clusters has its own random stream, and blocks are added up in a fixed order, so the
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
    """Key → (clusters,): by how much each metric grows when a cluster counts once more (the empirical influence
    function). Empty where there are so many clusters that nothing depends on it."""
    if clusters > MOST_INFLUENCES:
        return {}
    by_key: dict[Key, np.ndarray] = {}
    for keys, statistic in statistics:
        if statistic.gradient:
            totals = np.asarray(statistic.sums.sum(axis=1), dtype=np.float64)
            by_key |= zip(keys, statistic.gradient(totals) @ statistic.sums, strict=True)
    return by_key


def expanded_quantile(clusters: int, influence: np.ndarray | None = None) -> float:
    """Student's quantile instead of the normal one, also making up for the bootstrap's variance being too small by
    1 / clusters. `influence` (clusters,) of what is compared; without it, all clusters are taken to weigh the same."""
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
    """The middle 95 % of the resampled differences, or more where `quantile` is an expanded one. Resamples where the
    difference is undefined are left out, and noted."""
    defined = differences[np.isfinite(differences)]
    if len(defined) == 0:
        return Interval(note="undefined in every resample")
    tail = float(stats.norm.cdf(-quantile))
    low, high = np.quantile(defined, [tail, 1 - tail])
    missing = len(differences) - len(defined)
    note = f"undefined in {missing} of {len(differences)} resamples (one class only)" if missing else ""
    return Interval(float(low), float(high), note)


def resample_seeds(differences: np.ndarray, seed: int, quantile: float = NORMAL_QUANTILE) -> np.ndarray:
    """(samples,) means over resampled seeds, from (seeds, samples): the difference that each seed, of at least two,
    gives on each resample of the users.

    Users and seeds are crossed, each seed's models predict for every user, so both are resampled, independently of
    each other: the pigeonhole bootstrap (Owen 2007, Annals of Applied Statistics 1:386–411,
    https://doi.org/10.1214/07-AOAS122), which errs on the side of width. A plain bootstrap is too sure of a small
    sample such as n seeds. So n - 1 of them are drawn, which gives the mean the unbiased variance s²/n (McCarthy &
    Snowden 1985, "The bootstrap and finite population sampling"), and what the seeds add to the mean is stretched.
    `quantile` is the one that the interval will be expanded to because users are few.
    """
    count, samples = differences.shape
    drawn = np.random.default_rng([seed, count]).multinomial(count - 1, [1 / count] * count, size=samples)
    mean = differences.mean(axis=0)
    from_seeds = ((differences - mean) * drawn.T / (count - 1)).sum(axis=0)
    return mean + small_sample_stretch(count, quantile) * from_seeds


def small_sample_stretch(seeds: int, quantile: float = NORMAL_QUANTILE) -> float:
    """Student's t with seeds - 1 degrees of freedom (Hesterberg 2015) over the interval's quantile. With the normal
    one: 6.5 for two seeds, 2.2 for three, 1.4 for five."""
    return max(1.0, float(stats.t.ppf((1 + CONFIDENCE) / 2, seeds - 1)) / quantile)


@dataclass(frozen=True)
class Resampled:
    """Metrics on the same resamples, ready to be compared."""

    values: dict[Key, np.ndarray]
    """(samples,) each."""
    influences: dict[Key, np.ndarray]
    """(clusters,) each, see `influences`; may be empty."""
    clusters: int

    def paired_interval(self, pairs: Sequence[tuple[Key, Key]], seed: int) -> Interval:
        """Of the mean over `pairs` of the first minus the second. There is one pair for each seed that models were
        trained with; several seeds are resampled as well."""
        differences = np.stack([self.values[ours] - self.values[theirs] for ours, theirs in pairs])
        influence = None
        if self.influences:
            influence = np.mean(
                [self.influences[ours] - self.influences[theirs] for ours, theirs in pairs], axis=0
            )
        quantile = expanded_quantile(self.clusters, influence)
        drawn = differences[0] if len(pairs) == 1 else resample_seeds(differences, seed, quantile)
        return percentile_interval(drawn, quantile)


def verdict(interval: Interval, higher_is_better: bool) -> str:
    """'better' or 'worse' only when the whole interval lies on one side of zero."""
    if interval.low > ROUNDING or interval.high < -ROUNDING:
        return BETTER if (interval.low > 0) == higher_is_better else WORSE
    return UNDECIDED
