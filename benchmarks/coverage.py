"""How often 95 % intervals hold the true difference: test sets drawn from a simulated world whose truth is known.

python benchmarks/coverage.py --repetitions 2000

The world is simulated once: users, what they were shown, and the true probability of each click. A test set is some
of its users, drawn with replacement, with all their rows of the newest days, and labels drawn anew from the true
probabilities. Two fixed predictors are compared: the true probabilities, and a model that misjudges users (each by an
error of its own) and rows. Their true difference is that over all users of the world, in expectation over the labels.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special, stats
from sklearn.metrics import roc_auc_score

from mtl_pipeline.evaluation.inference.comparing import resample_metrics
from mtl_pipeline.evaluation.inference.intervals import (
    NORMAL_QUANTILE,
    Interval,
    Key,
    Resampled,
    expanded_quantile,
    mean_statistic,
    percentile_interval,
    resample,
)
from mtl_pipeline.predictions import TaskRows
from mtl_pipeline.simulation.simulate import draw_blocks
from mtl_pipeline.simulation.simulate import draw_world as simulate_world

METRICS = ("roc_auc", "log_loss")
TRUTH, MODEL = "truth", "model"
MISJUDGED_USERS, MISJUDGED_ROWS = 0.5, 0.3
"""Standard deviations of the model's errors, on the logit."""


@dataclass(frozen=True)
class World:
    """Rows sorted by user."""

    starts: np.ndarray
    """(users,) place of each user's first row."""
    rows: np.ndarray
    """(users,) rows of each user."""
    truth: np.ndarray
    """(rows,) probability of a click."""
    model: np.ndarray
    """(rows,) what the model says."""

    @property
    def true_differences(self) -> dict[str, float]:
        """Metric → truth minus model, over all users, in expectation over the labels."""
        return {
            "log_loss": expected_log_loss(self.truth, self.truth) - expected_log_loss(self.truth, self.model),
            "roc_auc": expected_roc_auc(self.truth, self.truth) - expected_roc_auc(self.truth, self.model),
        }


def draw_world(interactions: int, newest: float = 0.1, *, seed: int = 0, scenario: str = "shop") -> World:
    """The newest share of a simulated log, as in a test split."""
    blocks = list(draw_blocks(simulate_world(scenario, interactions, seed), interactions, seed))
    users = np.concatenate([block.shown.user for block in blocks])
    truth = np.concatenate([block.outcomes.truth["click"] for block in blocks]).astype(np.float64)
    kept = slice(len(truth) - round(newest * len(truth)), None)
    users, truth = users[kept], truth[kept]
    order = np.argsort(users, kind="stable")
    _, rows = np.unique(users, return_counts=True)
    rng = np.random.default_rng(seed)
    errors = np.repeat(MISJUDGED_USERS * rng.normal(size=len(rows)), rows)
    errors += MISJUDGED_ROWS * rng.normal(size=len(truth))
    truth = truth[order]
    return World(np.cumsum(rows) - rows, rows, truth, special.expit(special.logit(truth) + errors))


def expected_log_loss(truth: np.ndarray, predicted: np.ndarray) -> float:
    return float(-(special.xlogy(truth, predicted) + special.xlog1py(1 - truth, -predicted)).mean())


def expected_roc_auc(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Each row counts as a positive as often as it is one, and as a negative as often as not."""
    labels = np.repeat([1, 0], len(truth))
    return float(roc_auc_score(labels, np.tile(predicted, 2), sample_weight=np.r_[truth, 1 - truth]))


def draw_test_set(world: World, users: int, rng: np.random.Generator) -> TaskRows:
    drawn = rng.integers(len(world.rows), size=users)
    rows = world.rows[drawn]
    within = np.arange(rows.sum()) - np.repeat(np.cumsum(rows) - rows, rows)
    place = np.repeat(world.starts[drawn], rows) + within
    truth = world.truth[place]
    return TaskRows(
        labels=(rng.random(len(truth)) < truth).astype(np.float64),
        clusters=np.repeat(np.arange(users), rows),
        cluster_count=users,
        has_users=True,
        predictions={TRUTH: truth, MODEL: world.model[place]},
    )


def without_users(rows: TaskRows) -> TaskRows:
    """As if each row came from a user of its own."""
    count = len(rows.labels)
    return TaskRows(rows.labels, np.arange(count), count, False, rows.predictions)


@dataclass(frozen=True)
class Compared:
    """What an interval of one difference can be made of."""

    rows: TaskRows
    metric: str
    resampled: np.ndarray
    """(samples,)"""
    influence: np.ndarray
    """(clusters,)"""
    seed: int

    @cached_property
    def difference(self) -> float:
        ours, theirs = (
            score(self.metric, self.rows.labels, self.rows.predictions[name]) for name in (TRUTH, MODEL)
        )
        return ours - theirs

    @property
    def clusters(self) -> int:
        return len(self.influence)

    @property
    def deviation(self) -> float:
        """By the infinitesimal jackknife."""
        return math.sqrt(float(np.square(self.influence).sum()))


def compare_on(rows: TaskRows, samples: int, seed: int) -> dict[str, Compared]:
    """Metric → truth against model."""
    found: Resampled = resample_metrics(rows, "binary", samples, seed)
    return {
        metric: Compared(
            rows=rows,
            metric=metric,
            resampled=found.values[TRUTH, metric] - found.values[MODEL, metric],
            influence=found.influences[TRUTH, metric] - found.influences[MODEL, metric],
            seed=seed,
        )
        for metric in METRICS
    }


def score(metric: str, labels: np.ndarray, predicted: np.ndarray) -> float:
    return (
        float(roc_auc_score(labels, predicted))
        if metric == "roc_auc"
        else float(-np.log(np.where(labels > 0, predicted, 1 - predicted)).mean())
    )


def expanded(found: Compared) -> Interval:
    """Ours: Student's quantile, degrees of freedom from the influences."""
    return percentile_interval(found.resampled, expanded_quantile(found.clusters, found.influence))


def expanded_by_count(found: Compared) -> Interval:
    """Student's quantile with users - 1 degrees of freedom (Hesterberg 2015)."""
    return percentile_interval(found.resampled, expanded_quantile(found.clusters))


def percentile(found: Compared) -> Interval:
    """Efron (1979)."""
    return percentile_interval(found.resampled)


def basic(found: Compared) -> Interval:
    """The percentile interval mirrored at the difference."""
    ends = percentile_interval(found.resampled)
    return Interval(2 * found.difference - ends.high, 2 * found.difference - ends.low)


def bca(found: Compared) -> Interval:
    """Bias-corrected and accelerated (Efron 1987)."""
    cubes = float((found.influence**3).sum())
    acceleration = cubes / (6 * found.deviation**3)
    bias = stats.norm.ppf(np.mean(found.resampled < found.difference))
    low, high = (
        stats.norm.cdf(bias + (bias + z) / (1 - acceleration * (bias + z)))
        for z in (-NORMAL_QUANTILE, NORMAL_QUANTILE)
    )
    return Interval(*np.quantile(found.resampled, [low, high]).tolist())


def studentized(found: Compared) -> Interval:
    """Bootstrap-t (DiCiccio & Efron 1996), with the influences as they are on all rows."""
    keys: list[Key] = [("mean",), ("square",)]
    influence = found.influence * found.clusters
    moments = mean_statistic([influence, influence**2], np.arange(found.clusters), found.clusters)
    drawn = resample([(keys, moments)], found.clusters, len(found.resampled), found.seed)
    spread = drawn["square",] - drawn["mean",] ** 2
    ratios = (found.resampled - found.difference) / np.sqrt(np.maximum(spread / found.clusters, 1e-300))
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Interval(found.difference - high * found.deviation, found.difference - low * found.deviation)


METHODS: dict[str, Callable[[Compared], Interval]] = {
    "expanded (ours)": expanded,
    "expanded, users − 1": expanded_by_count,
    "percentile": percentile,
    "basic": basic,
    "BCa": bca,
    "studentized": studentized,
}


@dataclass
class Tally:
    covered: int = 0
    below: int = 0
    """Intervals that lie below the true difference."""
    above: int = 0
    width: float = 0.0

    def add(self, interval: Interval, true: float) -> None:
        self.covered += interval.low <= true <= interval.high
        self.below += interval.high < true
        self.above += interval.low > true
        self.width += interval.high - interval.low


def tally(
    world: World,
    users: int,
    repetitions: int,
    samples: int,
    methods: dict[str, Callable[[Compared], Interval]],
    *,
    clustered: bool = True,
    seed: int = 0,
) -> dict[tuple[str, str], Tally]:
    """(metric, method) → how the intervals of so many test sets fared."""
    true = world.true_differences
    found = {(metric, name): Tally() for metric in METRICS for name in methods}
    for repetition in range(repetitions):
        rows = draw_test_set(world, users, np.random.default_rng([seed, users, repetition]))
        compared = compare_on(rows if clustered else without_users(rows), samples, repetition)
        for (metric, name), counts in found.items():
            counts.add(methods[name](compared[metric]), true[metric])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interactions", type=int, default=1_000_000, help="of the world")
    parser.add_argument(
        "--newest", type=float, default=0.1, help="share of them that test sets are drawn from"
    )
    parser.add_argument("--users", type=int, nargs="+", default=[30, 100, 300, 1000])
    parser.add_argument("--repetitions", type=int, default=2_000)
    parser.add_argument("--samples", type=int, default=500)
    arguments = parser.parse_args()
    world = draw_world(arguments.interactions, arguments.newest)
    quantiles = np.quantile(world.rows, [0.1, 0.5, 0.9, 0.99]).round().astype(int).tolist()
    print(f"{len(world.rows):,} users; rows per user at 10, 50, 90 and 99 %: {quantiles}")
    print(f"true differences: {world.true_differences}\n")
    print("| users | interval | ROC-AUC | too low, too high | width | log-loss | too low, too high | width |")
    print("|--:|---|--:|--:|--:|--:|--:|--:|")
    for users in arguments.users:
        started = time.process_time()
        found = tally(world, users, arguments.repetitions, arguments.samples, METHODS)
        unclustered = tally(
            world,
            users,
            arguments.repetitions // 4,
            arguments.samples,
            {"percentile, rows": percentile},
            clustered=False,
        )
        for name in (*METHODS, "percentile, rows"):
            cells = []
            for metric in METRICS:
                counts = (found | unclustered)[metric, name]
                drawn = counts.covered + counts.below + counts.above
                usual = found[metric, "percentile"].width / arguments.repetitions
                cells += [
                    f"{counts.covered / drawn:.1%}",
                    f"{counts.below / drawn:.1%}, {counts.above / drawn:.1%}",
                    f"{counts.width / drawn / usual:.2f}",
                ]
            print(f"| {users:,} | {name} | {' | '.join(cells)} |", flush=True)
        print(f"<!-- {time.process_time() - started:.0f} s of processor time -->", flush=True)


if __name__ == "__main__":
    main()
