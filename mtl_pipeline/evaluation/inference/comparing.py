"""The candidate against its baselines on the same test rows, with paired intervals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mtl_pipeline.evaluation.inference import intervals
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.metrics.metric import Metric, Score
from mtl_pipeline.metrics.threads import in_threads
from mtl_pipeline.predictions import (
    CEILING,
    TaskRows,
)
from mtl_pipeline.spec import Task

FEWEST_CLUSTERS = 10
"""With fewer users there is no interval. Resampled differences of n users all lie on one side of zero whenever each
user's does, by chance alone in 2^(1-n) of all cases: however far an interval is expanded, of two users it would call
every second pair of equal models different, and of five still one in sixteen."""
FEW_CLUSTERS = 30
SMALLEST_RMSE = 1e-12


def compare(
    rows: TaskRows,
    task: Task,
    scores: Mapping[str, Mapping[str, Score]],
    candidate: str,
    samples: int,
    seed: int,
) -> list[dict]:
    """The candidate against every baseline, per compared metric."""
    resampled = resample_metrics(rows, task.kind, samples, seed) if enough_clusters(rows) else None
    return [
        comparison(
            rows,
            KINDS[task.kind].metric(name),
            {"task": task.name, "metric": name, "candidate": candidate, "baseline": baseline, "seeds": 1},
            scores[candidate][name],
            scores[baseline][name],
            resampled.paired_interval((candidate, name), (baseline, name)) if resampled else None,
        )
        for name, baseline in itertools.product(KINDS[task.kind].compared, rows.predictions)
        if baseline not in (candidate, CEILING)
    ]


def enough_clusters(rows: TaskRows) -> bool:
    return rows.cluster_count >= FEWEST_CLUSTERS


def comparison(
    rows: TaskRows,
    compared: Metric,
    names: Mapping[str, Any],
    ours: Score,
    theirs: Score,
    interval: intervals.Interval | None,
) -> dict:
    """One row of the frame `comparisons`. `interval`: of ours minus theirs; None where there are too few clusters to
    resample."""
    cluster = "user" if rows.has_users else "row"
    if undefined := ours.note or theirs.note:
        interval = intervals.Interval(math.nan, math.nan, undefined)
    elif interval is None:
        interval = intervals.Interval(math.nan, math.nan, too_few_clusters_note(rows.cluster_count, cluster))
    return {
        **names,
        "difference": ours.value - theirs.value,
        "low": interval.low,
        "high": interval.high,
        "verdict": intervals.verdict(interval, compared.higher_is_better),
        "note": interval.note or few_clusters_note(rows.cluster_count, cluster),
        "candidate_value": ours.value,
        "baseline_value": theirs.value,
    }


def resample_metrics(rows: TaskRows, kind: str, samples: int, seed: int) -> intervals.Resampled:
    """Every (model, compared metric)."""
    models = [model for model in rows.predictions if model != CEILING]
    keys: list[intervals.Key] = []

    def losses() -> Iterator[np.ndarray]:
        """One at a time: all of them are half a gigabyte of five million rows."""
        for model in models:
            for name, loss in KINDS[kind].compared_losses(rows.labels, rows.predictions[model]).items():
                keys.append((model, name))
                yield loss

    mean = intervals.mean_statistic(losses(), rows.clusters, rows.cluster_count)
    statistics: list[tuple[list[intervals.Key], intervals.Statistic]] = [(keys, mean)]
    if "roc_auc" in KINDS[kind].compared:
        ranked = in_threads(
            lambda model: intervals.roc_auc_statistic(
                rows.labels, rows.predictions[model], rows.clusters, rows.cluster_count
            ),
            models,
        )
        statistics += [([(model, "roc_auc")], found) for model, found in zip(models, ranked, strict=True)]
    values = intervals.resample(statistics, rows.cluster_count, samples, seed)
    influences = intervals.influences(statistics, rows.cluster_count)
    for key in [key for key in values if key[1] == "rmse"]:
        values[key] = np.sqrt(values[key])
        if influences:
            influences[key] = influences[key] / (2 * max(values[key].mean(), SMALLEST_RMSE))
    return intervals.Resampled(values, influences, rows.cluster_count)


def too_few_clusters_note(clusters: int, cluster: str) -> str:
    there = f"there {'is' if clusters == 1 else 'are'} {clusters}"
    return f"no interval: it takes {FEWEST_CLUSTERS} {cluster}s, here {there}"


def few_clusters_note(clusters: int, cluster: str) -> str:
    return f"only {clusters} {cluster}s: the interval is rough" if clusters < FEW_CLUSTERS else ""
