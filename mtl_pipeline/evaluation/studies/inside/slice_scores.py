"""Every slice of the test rows by itself: how many rows, how good the candidate, and how much better than others.

A slice is scored by the metrics that are compared, the differences with paired bootstrap intervals (see `intervals`).
To keep many slices of many rows cheap, all slices of one kind are counted at once, and more than `MOST_GROUPS` users
are drawn in that many random groups: groups of independent users are as independent as users, and a thousand of them
give an interval's width to about 2 %.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import sparse

from mtl_pipeline.evaluation.inference import intervals
from mtl_pipeline.evaluation.inference.comparing import FEWEST_CLUSTERS, judge, too_few_clusters_note
from mtl_pipeline.evaluation.studies.frames import COMPARED, published
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.metrics.ranking import roc_auc_by_group, score_levels
from mtl_pipeline.metrics.threads import in_threads
from mtl_pipeline.predictions import SINGLE_TASK, as_floats, has_users, label_column, prediction_column
from mtl_pipeline.spec import Task

FEWEST_ROWS = 100
MOST_SAMPLES = 500
MOST_GROUPS = 1024
GROUP_BITS = 10
BINS = 256
"""Bins of scores within a slice, for the resampled ROC-AUC; its value comes from all scores."""
MOST_CELLS_A_ROW = 16
"""A dense product takes a sixteenth of the time of a sparse one for each number."""

SLICES = (
    *("kind", "slice", "task", "metric", "rows", "users", "positives", "mean_label"),
    *("candidate", "value", "baseline", "baseline_value", *COMPARED),
)


@dataclass(frozen=True)
class ObservedRows:
    """The test rows where one task's label is observed."""

    labels: np.ndarray
    """(rows,) float64."""
    users: np.ndarray | None
    """(rows,) int64: 0, 1 …; None where there are none."""
    groups: np.ndarray
    """(rows,) int64: 0 … group_count - 1, groups of users, or of rows where there are none."""
    group_count: int
    losses: dict[tuple[str, str], np.ndarray]
    """Model and metric → (rows,) what the metric is the mean of, see `compared_losses`."""
    ranked: dict[str, np.ndarray]
    """Model → (rows,) int64: level of its score, label and group, highest bits first; binary tasks only."""


@dataclass(frozen=True)
class Membership:
    """Which rows are in which slices of one kind; a row may be in several, or in none."""

    names: list[str]
    """The slices that have rows, in the order to show them in."""
    row: np.ndarray | slice
    """(members,) int: the row; `slice(None)` where each row is in one slice."""
    code: np.ndarray
    """(members,) int64: the place of its slice in `names`."""


def measure_slices(predictions: pl.DataFrame, slices: pl.DataFrame, evaluation: Evaluation) -> pl.DataFrame:
    """One row for each kind of slice, slice, task, compared metric and baseline, of the wide predictions frame and
    the frame of `slices_of`.

    The baselines are `single_task` and, of the others, the one best on validation rows. What is null or NaN, see
    `compare_in_slices`.
    """
    users = ["user_id"] if has_users(predictions) else []
    test = predictions.lazy().filter(pl.col("split") == "test")
    test_ids = test.select("example_id").collect()
    kinds = test_ids.join(slices, on="example_id", how="left", maintain_order="left").drop("example_id")
    scored: list[dict] = []
    for task in evaluation.tasks:
        fits = {model: [model] for model in (evaluation.candidate, *slice_baselines(evaluation, task))}
        columns = [label_column(task.name), *(prediction_column(model, task.name) for model in fits)]
        labelled = test.select(*users, *columns).collect()
        observed = labelled[columns[0]].is_not_null()
        if observed.any():
            rows = observed_rows(labelled.filter(observed), task, list(fits), evaluation.seed)
            for kind in kinds.columns:
                members = membership(kinds[kind].filter(observed))
                lines = compare_in_slices(rows, members, task, fits, evaluation)
                scored += [{"kind": kind} | line for line in lines]
    return published(SLICES, sorted(scored, key=lambda row: kinds.columns.index(row["kind"])))


def slice_baselines(evaluation: Evaluation, task: Task) -> list[str]:
    """`single_task` and the best other baseline, as far as there are any."""
    alone = SINGLE_TASK if SINGLE_TASK in evaluation.models(task.name) else None
    return [model for model in (alone, evaluation.best_baseline(task)) if model]


def observed_rows(frame: pl.DataFrame, task: Task, models: Sequence[str], seed: int) -> ObservedRows:
    users = frame["user_id"].rank("dense").to_numpy().astype(np.int64) - 1 if has_users(frame) else None
    groups = np.arange(frame.height) if users is None else users
    count = int(groups.max()) + 1
    if count > MOST_GROUPS:
        groups = (np.random.default_rng(seed).permutation(count) % MOST_GROUPS)[groups]
    labels = as_floats(frame[label_column(task.name)])
    predicted = {model: as_floats(frame[prediction_column(model, task.name)]) for model in models}

    def ranked(model: str) -> np.ndarray:
        level = score_levels(predicted[model]).level.astype(np.int64)
        return (((level << 1) | (labels > 0)) << GROUP_BITS) | groups

    return ObservedRows(
        labels=labels,
        users=users,
        groups=groups,
        group_count=min(count, MOST_GROUPS),
        losses={
            (model, measure): loss
            for model in models
            for measure, loss in KINDS[task.kind].compared_losses(labels, predicted[model]).items()
        },
        ranked=dict(zip(models, in_threads(ranked, models), strict=True))
        if "roc_auc" in KINDS[task.kind].compared
        else {},
    )


def compare_in_slices(
    rows: ObservedRows,
    members: Membership,
    task: Task,
    fits: Mapping[str, Sequence[str]],
    evaluation: Evaluation,
) -> Iterator[dict]:
    """Rows of a published frame: slice, task, metric, candidate, baseline, counts, values and the difference.

    `fits`: the candidate and its baselines, if any → their names in `rows`, one for each seed; values are means over
    the seeds. `positives` is null unless the task is binary, `mean_label` where it has classes. A slice of fewer than
    FEWEST_ROWS rows, or with one class only, is counted but not scored: `note` says why, `value` is NaN and what
    follows is null.
    """
    if not members.names:
        return
    kind, cluster = KINDS[task.kind], "row" if rows.users is None else "user"
    candidate, *baselines = fits
    against: list[str | None] = [*baselines] or [None]
    values, statistics = slice_statistics(rows, members)
    samples = min(evaluation.bootstrap_samples, MOST_SAMPLES)
    resampled = intervals.resample(statistics, rows.group_count, samples, evaluation.seed)
    counted = count_slices(rows, members, task)
    for name, (counts, clusters, unscored) in zip(members.names, counted, strict=True):
        drawn = intervals.Resampled(resampled, {}, clusters)
        for measure, baseline in itertools.product(kind.compared, against):
            row = {"slice": name, "task": task.name, "metric": measure, **counts}
            row |= {"candidate": candidate, "baseline": baseline, "value": math.nan, "note": unscored}
            if not unscored:
                ours = [(name, fit, measure) for fit in fits[candidate]]
                row["value"] = mean_of(values, ours)
            if baseline and not unscored:
                theirs = [(name, fit, measure) for fit in fits[baseline]]
                row["baseline_value"] = mean_of(values, theirs)
                row["difference"] = row["value"] - row["baseline_value"]
                if clusters < FEWEST_CLUSTERS:
                    row |= {"verdict": intervals.UNDECIDED, "note": too_few_clusters_note(clusters, cluster)}
                else:
                    interval = drawn.paired_interval(list(zip(ours, theirs, strict=True)), evaluation.seed)
                    row |= judge(interval, kind.metric(measure).higher_is_better, clusters, cluster)
            yield row


def mean_of(values: Mapping[intervals.Key, float], keys: Sequence[intervals.Key]) -> float:
    return float(np.mean([values[key] for key in keys]))


def membership(column: pl.Series) -> Membership:
    """Of an Enum column, or a list of Enums."""
    rows = pl.DataFrame({"row": np.arange(len(column)), "slice": column})
    if isinstance(column.dtype, pl.List):
        rows = rows.explode("slice")
    rows = rows.drop_nulls("slice")
    code = rows["slice"].to_physical().to_numpy().astype(np.int64)
    categories: pl.Series = rows.schema["slice"].categories  # type: ignore[attr-defined]
    present = np.bincount(code, minlength=len(categories)) > 0
    one_each = len(rows) == len(column) and not isinstance(column.dtype, pl.List)
    row = slice(None) if one_each else rows["row"].to_numpy()
    return Membership(categories.filter(present).to_list(), row, (np.cumsum(present) - 1)[code])


def count_slices(rows: ObservedRows, members: Membership, task: Task) -> Iterator[tuple[dict, int, str]]:
    """Of each slice its counts for the published frame, how many clusters it has, and why it is not scored, if so."""
    kind, labels, slices = KINDS[task.kind], rows.labels[members.row], len(members.names)
    counts = np.bincount(members.code, minlength=slices)
    sums = np.bincount(members.code, weights=labels, minlength=slices)
    some_label = np.zeros(slices)
    some_label[members.code] = labels
    others = np.bincount(members.code, weights=labels != some_label[members.code], minlength=slices)
    clusters = counts if rows.users is None else count_users(rows.users, members)
    for count, total, label, other, of_slice in zip(counts, sums, some_label, others, clusters, strict=True):
        unscored = ""
        if count < FEWEST_ROWS:
            unscored = f"counted only: fewer than {FEWEST_ROWS} rows"
        elif kind.one_label_says_nothing and not other:
            unscored = f"counted only: one class, every label is {label:.0f}"
        columns = {
            "rows": int(count),
            "users": None if rows.users is None else int(of_slice),
            "positives": round(total) if kind.is_event else None,
            "mean_label": None if kind.has_classes else float(total / count),
        }
        yield columns, int(of_slice), unscored


def count_users(users: np.ndarray, members: Membership) -> np.ndarray:
    """Distinct users of each slice, (slices,)."""
    met = np.zeros((len(members.names), int(users.max()) + 1), bool)
    met[members.code, users[members.row]] = True
    return np.count_nonzero(met, axis=1)


def slice_statistics(
    rows: ObservedRows, members: Membership
) -> tuple[dict[intervals.Key, float], list[tuple[list[intervals.Key], intervals.Statistic]]]:
    """The value of each (slice, model, metric), and the statistics to resample."""
    cell = members.code * rows.group_count + rows.groups[members.row]
    statistics = [mean_losses(rows, members, cell)]
    values: dict[intervals.Key, float] = {}
    ranked = in_threads(lambda model: sliced_roc_auc(rows, members, model), rows.ranked)
    for model, (exact, statistic) in zip(rows.ranked, ranked, strict=True):
        ranked_keys: list[intervals.Key] = [(name, model, "roc_auc") for name in members.names]
        values |= dict(zip(ranked_keys, exact.tolist(), strict=True))
        statistics.append((ranked_keys, statistic))
    keys, statistic = statistics[0]
    means = statistic.values(statistic.sums.sum(axis=1, keepdims=True))
    return values | dict(zip(keys, means[:, 0].tolist(), strict=True)), statistics


def mean_losses(
    rows: ObservedRows, members: Membership, cell: np.ndarray
) -> tuple[list[intervals.Key], intervals.Statistic]:
    """The metrics that are means, or roots of means, of losses. `cell` (members,): slice and group in one number."""
    slices, shape = len(members.names), (len(members.names), rows.group_count)
    counts = np.bincount(cell, minlength=slices * rows.group_count).reshape(shape).astype(np.float64)
    keys: list[intervals.Key] = []
    sums = []
    for (model, measure), loss in rows.losses.items():
        keys += [(name, model, measure) for name in members.names]
        sums.append(np.bincount(cell, weights=loss[members.row], minlength=counts.size).reshape(shape))
    roots = np.array([key[2] == "rmse" for key in keys])

    def means(totals: np.ndarray) -> np.ndarray:
        drawn = totals[-slices:]
        losses = totals[:-slices].reshape(-1, *drawn.shape)
        values = np.divide(losses, drawn, out=np.full_like(losses, np.nan), where=drawn > 0)
        values = values.reshape(-1, totals.shape[1])
        values[roots] = np.sqrt(values[roots])
        return values

    return keys, intervals.Statistic(np.concatenate([*sums, counts]), means)


def sliced_roc_auc(
    rows: ObservedRows, members: Membership, model: str
) -> tuple[np.ndarray, intervals.Statistic]:
    """ROC-AUC of every slice, (slices,), exact, and its statistic. One sort of integers: slice, level, label, group.

    As in `intervals.roc_auc_statistic` rows are counted in bins of scores, but each slice has its own bins: otherwise a
    slice whose scores all lie close together would fall into a few.
    """
    key = np.sort((members.code << (32 + GROUP_BITS)) | rows.ranked[model][members.row])
    ranked = key >> GROUP_BITS
    exact, sizes = roc_auc_by_group(ranked)
    place = np.flatnonzero(np.r_[True, ranked[1:] >> 1 != ranked[:-1] >> 1])
    code = ranked[place] >> 32
    starts = np.cumsum(sizes).astype(np.int64) - sizes.astype(np.int64)
    bins = (place - starts[code]) * BINS // sizes.astype(np.int64)[code]
    first_cell = np.repeat((code * BINS + bins) * 2, np.diff(np.r_[place, len(key)]))
    cell = first_cell + (ranked & 1)
    cells = 2 * BINS * len(sizes)
    counts = group_counts(cell, key & (2**GROUP_BITS - 1), (cells, rows.group_count))

    def values(totals: np.ndarray) -> np.ndarray:
        by_slice = totals.reshape(len(sizes), 2 * BINS, -1)
        return np.stack([intervals.roc_auc_of_counts(total) for total in by_slice])

    shift = exact - values(np.bincount(cell, minlength=cells)[:, None])[:, 0]
    return exact, intervals.Statistic(counts, lambda totals: values(totals) + shift[:, None])


def group_counts(
    cell: np.ndarray, group: np.ndarray, shape: tuple[int, int]
) -> sparse.csc_array | np.ndarray:
    """Rows in each cell and group, float32 of `shape`; sparse where that is less to multiply by."""
    if len(cell) * MOST_CELLS_A_ROW < shape[0] * shape[1]:
        return sparse.csc_array((np.ones(len(cell), np.float32), (cell, group)), shape=shape)
    flat = np.bincount(cell * shape[1] + group, minlength=shape[0] * shape[1])
    return flat.reshape(shape).astype(np.float32)
