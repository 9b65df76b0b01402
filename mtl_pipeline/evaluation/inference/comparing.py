"""The candidate against its baselines on the same test rows, with paired intervals."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mtl_pipeline.evaluation.inference import intervals
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.metrics.metric import Score
from mtl_pipeline.metrics.threads import in_threads
from mtl_pipeline.predictions import CEILING, TaskRows
from mtl_pipeline.spec import Task

FEWEST_CLUSTERS = 10
"""With fewer users there is no interval. Resampled differences of n users all lie on one side of zero whenever each
user's does, which happens by chance alone in 2^(1-n) of all cases: however far an interval is expanded, with two users
it would call every second pair of equal models different, and with five still one in sixteen."""
FEW_CLUSTERS = 30
SMALLEST_RMSE = 1e-12


def compare(
    rows: TaskRows,
    task: Task,
    scores: Mapping[str, Mapping[str, Score]],
    candidate: str,
    fits: Mapping[str, Sequence[str]],
    samples: int,
    seed: int,
) -> list[dict]:
    """Rows of the frame `comparisons`: the candidate against every other model but the ceiling, per compared metric.

    `fits`: model → its names in `rows` and `scores`, one for each seed that it was trained with. Values are means over
    the seeds, which are paired.
    """
    kind, cluster = KINDS[task.kind], "user" if rows.has_users else "row"
    enough = rows.cluster_count >= FEWEST_CLUSTERS
    resampled = resample_metrics(rows, task.kind, samples, seed) if enough else None
    compared = []
    for name, baseline in itertools.product(kind.compared, fits):
        if baseline in (candidate, CEILING):
            continue
        ours, theirs = (
            mean_score([scores[fit][name] for fit in fits[model]]) for model in (candidate, baseline)
        )
        if undefined := ours.note or theirs.note:
            interval = intervals.Interval(note=undefined)
        elif resampled is None:
            interval = intervals.Interval(note=too_few_clusters_note(rows.cluster_count, cluster))
        else:
            pairs = [((a, name), (b, name)) for a, b in zip(fits[candidate], fits[baseline], strict=True)]
            interval = resampled.paired_interval(pairs, seed)
        compared.append(
            {
                "task": task.name,
                "metric": name,
                "candidate": candidate,
                "baseline": baseline,
                "difference": ours.value - theirs.value,
                **judge(interval, kind.metric(name).higher_is_better, rows.cluster_count, cluster),
                "candidate_value": ours.value,
                "baseline_value": theirs.value,
                "seeds": len(fits[candidate]),
            }
        )
    return compared


def mean_score(scores: Sequence[Score]) -> Score:
    """Undefined where one of them is, with its reason."""
    note = next((score.note for score in scores if score.note), "")
    return Score(float(np.mean([score.value for score in scores])), note)


def judge(interval: intervals.Interval, higher_is_better: bool, clusters: int, cluster: str) -> dict:
    """The columns low, high, verdict and note."""
    return {
        "low": interval.low,
        "high": interval.high,
        "verdict": intervals.verdict(interval, higher_is_better),
        "note": interval.note or few_clusters_note(clusters, cluster),
    }


def resample_metrics(rows: TaskRows, kind: str, samples: int, seed: int) -> intervals.Resampled:
    """Every (model, compared metric)."""
    models = [model for model in rows.predictions if model != CEILING]
    keys: list[intervals.Key] = []

    def losses() -> Iterator[np.ndarray]:
        """One at a time: all of them take half a gigabyte for five million rows."""
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
        statistics += [([(model, "roc_auc")], auc) for model, auc in zip(models, ranked, strict=True)]
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
