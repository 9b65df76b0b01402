"""Ranked lists: does the candidate put what a user wants at the top of that user's own test rows?

Each user's test rows are ordered by a model's prediction; a row whose label is 1 is a hit. With g(r) = 1 for a
hit at rank r, else 0, and P hits among all rows of the user:

- NDCG@k = Σ_{r≤k} g(r) / log2(r + 1), over the same sum of the best order (Järvelin & Kekäläinen 2002, "Cumulated
  gain-based evaluation of IR techniques"); scikit-learn's `ndcg_score`.
- Recall@k = Σ_{r≤k} g(r) / P.
- HitRate@k = 1 where there is a hit among the first k, else 0.
- MRR = 1 / rank of the first hit, wherever it is (Voorhees 1999, "The TREC-8 question answering track report").

Each is averaged over the users who have a hit at all, every user counting the same. Scores are compared as float32, as
the models give them; tied rows are put in a random order that `seed` fixes, the same for every model.

The lists hold what was logged or sampled, not the catalogue, so the values compare models on these rows and say nothing
else (Krichene & Rendle 2020, "On sampled metrics for item recommendation").
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from mtl_pipeline.evaluation.inference import intervals
from mtl_pipeline.evaluation.inference.comparing import FEWEST_CLUSTERS, too_few_clusters_note
from mtl_pipeline.evaluation.studies.chains import chain_name, chain_rows, whole_chains
from mtl_pipeline.evaluation.studies.frames import published
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.metrics.metric import Metric
from mtl_pipeline.metrics.threads import in_threads
from mtl_pipeline.predictions import CEILING, TaskRows, has_users
from mtl_pipeline.spec import Task

LENGTH = 10
LIST_METRICS = (
    Metric(
        "ndcg",
        f"NDCG@{LENGTH}",
        True,
        f"gain of the hits among a user's first {LENGTH} rows, less the further down they stand, over the gain of the "
        "best order; 1 is perfect",
    ),
    Metric(
        "recall",
        f"Recall@{LENGTH}",
        True,
        f"share of a user's hits that stand among the first {LENGTH}; with more hits than that, 1 is out of reach",
    ),
    Metric("hit_rate", f"HitRate@{LENGTH}", True, f"share of the users with a hit among the first {LENGTH}"),
    Metric("mrr", "MRR", True, "mean reciprocal rank: one over the rank of a user's first hit"),
)
SCORE_BITS = 31
"""Of a float32 that is not negative; read as integers, such numbers keep their order."""

RANKING = (
    *("list", "task", "model", "metric", "length", "value", "low", "high", "users", "rows"),
    *("difference", "difference_low", "difference_high", "verdict", "note"),
)


def measure_ranking(
    predictions: pl.DataFrame,
    tasks: Sequence[Task],
    *,
    candidate: str,
    bootstrap_samples: int = 500,
    seed: int = 0,
) -> pl.DataFrame:
    """One row for each list (by its chain, 'click → purchase'), model and metric: the value with its interval, and for
    every baseline the difference candidate − baseline with its paired interval. Users are resampled.

    Lists are made for every binary task without a condition, by its prediction, and for the last binary task
    of every chain, by the probability that the whole chain happens; none for bad tasks. No rows where there are no
    users.
    """
    rows = [
        {"list": chain_name(chain), "task": chain[-1].name, "length": LENGTH} | row
        for chain in (ranked_chains(tasks) if has_users(predictions) else [])
        for row in score_lists(chain_rows(predictions, chain, candidate), candidate, bootstrap_samples, seed)
    ]
    return published(RANKING, rows)


def ranked_chains(tasks: Sequence[Task]) -> list[list[Task]]:
    """Nobody wants a list of what is returned most: what is bad has none."""
    wanted = [task for task in tasks if KINDS[task.kind].is_event and task.good is not False]
    steps = {task.given for task in wanted}
    ends = {task.name for task in wanted} - steps
    roots = [[task] for task in wanted if task.given is None]
    return roots + [chain for chain in whole_chains(tasks) if chain[-1].name in ends]


def score_lists(rows: TaskRows, candidate: str, samples: int, seed: int) -> list[dict]:
    rows = of_users_with_hits(rows)
    users, models = rows.cluster_count, list(rows.predictions)
    if users == 0:
        return []
    ties = np.random.default_rng(seed).permutation(len(rows.labels))
    by_user = in_threads(lambda model: user_metrics(rows, model, ties), models)
    values: dict[intervals.Key, np.ndarray] = {
        (model, name): value
        for model, metrics in zip(models, by_user, strict=True)
        for name, value in metrics.items()
    }
    statistic = intervals.mean_statistic(values.values(), np.arange(users), users)
    drawn = intervals.resample([(list(values), statistic)], users, samples, seed)
    resampled = intervals.Resampled(drawn, {}, users)
    scored = []
    for key in values:
        model, name = key
        mean = float(values[key].mean())
        row = {"model": model, "metric": name, "value": mean, "users": users, "rows": len(rows.labels)}
        if users < FEWEST_CLUSTERS:
            row["note"] = too_few_clusters_note(users, "user")
        else:
            own = intervals.percentile_interval(drawn[key], intervals.expanded_quantile(users))
            row |= {"low": own.low, "high": own.high, "note": own.note}
            if model not in (candidate, CEILING):
                paired = resampled.paired_interval([((candidate, name), key)], seed)
                row["difference"] = float(values[candidate, name].mean()) - mean
                row |= {"difference_low": paired.low, "difference_high": paired.high}
                row["verdict"] = intervals.verdict(paired, higher_is_better=True)
        scored.append(row)
    return scored


def of_users_with_hits(rows: TaskRows) -> TaskRows:
    """The rows of the users who have a hit, users numbered anew."""
    hits = np.bincount(rows.clusters, weights=rows.labels, minlength=rows.cluster_count)
    kept = hits[rows.clusters] > 0
    return TaskRows(
        labels=rows.labels[kept],
        clusters=(np.cumsum(hits > 0) - 1)[rows.clusters[kept]],
        cluster_count=int(np.count_nonzero(hits)),
        has_users=True,
        predictions={model: scores[kept] for model, scores in rows.predictions.items()},
    )


def user_metrics(rows: TaskRows, model: str, ties: np.ndarray) -> dict[str, np.ndarray]:
    """Metric → (users,). Every user has a hit."""
    user, rank = ranks_of_hits(rows.clusters, rows.predictions[model], rows.labels, ties)
    count = rows.cluster_count
    hits = np.bincount(user, minlength=count)
    shown = rank <= LENGTH
    hits_shown = np.bincount(user[shown], minlength=count)
    gain = np.bincount(user[shown], weights=1 / np.log2(rank[shown] + 1), minlength=count)
    best_gain = np.cumsum(1 / np.log2(np.arange(1, LENGTH + 1) + 1))
    first = np.flatnonzero(np.r_[True, user[1:] != user[:-1]])
    return {
        "ndcg": gain / best_gain[np.minimum(hits, LENGTH) - 1],
        "recall": hits_shown / hits,
        "hit_rate": (hits_shown > 0).astype(np.float64),
        "mrr": 1 / rank[first],
    }


def ranks_of_hits(
    users: np.ndarray, scores: np.ndarray, labels: np.ndarray, ties: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """User and rank (from 1) of every hit, users ascending and each one's best rank first.

    `users` (rows,) int ascending from 0, `scores` (rows,) in [0, 1], `labels` (rows,) 0 or 1, `ties` (rows,)
    distinct int: the order of rows that a model scores the same. User, falling score, order of ties and label are
    packed into one integer a row, because sorting numbers is ten times as fast as sorting rows. Where the integer has
    no room for all of the order of ties, its leading bits decide.
    """
    user_bits = int(users[-1]).bit_length()
    tie_bits = max(0, 63 - 1 - SCORE_BITS - user_bits)
    spare = max(0, (len(ties) - 1).bit_length() - tie_bits)
    falling = np.int64(2**SCORE_BITS - 1) - scores.astype(np.float32).view(np.int32)
    key = (users.astype(np.int64) << SCORE_BITS) | falling
    key = (key << tie_bits) | (ties >> spare)
    key = np.sort((key << 1) | (labels > 0))
    starts = np.searchsorted(users, np.arange(users[-1] + 1))
    hit = np.flatnonzero(key & 1)
    user = key[hit] >> (SCORE_BITS + tie_bits + 1)
    return user, hit - starts[user] + 1


def list_scores(ranking: pl.DataFrame, candidate: str) -> dict[str, float]:
    """'click → purchase NDCG@10' → the candidate's value."""
    first = LIST_METRICS[0]
    own = ranking.filter(pl.col("model") == candidate, pl.col("metric") == first.name)
    return {f"{row['list']} {first.label}": row["value"] for row in own.iter_rows(named=True)}
