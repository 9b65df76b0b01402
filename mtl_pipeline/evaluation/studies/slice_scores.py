"""Every slice of the test rows by itself: how many rows, how good the candidate, and how much better than others.

A slice is scored by the metrics that are compared, the differences with paired bootstrap intervals (see
`intervals`). So that many slices of many rows stay cheap, all slices of one kind are counted at once, and users
beyond `MOST_GROUPS` are drawn in that many random groups: a group of independent users is as independent as a user,
and a thousand of them give an interval's width to about 2 %.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import sparse

from mtl_pipeline.evaluation.inference import intervals
from mtl_pipeline.evaluation.inference.comparing import (
    FEWEST_CLUSTERS,
    few_clusters_note,
    too_few_clusters_note,
)
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.metrics.metric import Metric
from mtl_pipeline.metrics.ranking import roc_auc_by_group, score_levels
from mtl_pipeline.metrics.threads import in_threads
from mtl_pipeline.predictions import (
    CEILING,
    SINGLE_TASK,
    as_floats,
    has_users,
    label_column,
    prediction_column,
)
from mtl_pipeline.spec import Task

FEWEST_ROWS = 100
MOST_SAMPLES = 500
MOST_GROUPS = 1024
GROUP_BITS = 10
BINS = 256
"""Bins of scores within a slice, for the resampled ROC-AUC; its value comes from all scores."""
MOST_CELLS_A_ROW = 16
"""A dense product takes a sixteenth of the time of a sparse one for each number."""

SLICES_SCHEMA = {
    "kind": pl.String,
    "slice": pl.String,
    "task": pl.String,
    "metric": pl.String,
    "rows": pl.Int64,
    "users": pl.Int64,
    "positives": pl.Int64,
    "mean_label": pl.Float64,
    "candidate": pl.String,
    "value": pl.Float64,
    "baseline": pl.String,
    "baseline_value": pl.Float64,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "verdict": pl.String,
    "note": pl.String,
}


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
    """Model → (rows,) int64: level of its score, label, group, from the highest bits on; of binary tasks only."""


@dataclass(frozen=True)
class Membership:
    """Which rows are in which slice of one kind; a row may be in several, or in none."""

    names: list[str]
    """Of the slices that have rows, in the order to be shown."""
    row: np.ndarray | slice
    """(members,) int: the row; all of them where each row is in one slice."""
    code: np.ndarray
    """(members,) int64: the place of its slice in `names`."""


def measure_slices(
    predictions: pl.DataFrame,
    slices: pl.DataFrame,
    evaluation: Evaluation,
    *,
    bootstrap_samples: int = MOST_SAMPLES,
) -> pl.DataFrame:
    """One row for each kind of slice, slice, task, compared metric and baseline, of the wide predictions frame and
    the frame of `read_slices`.

    The baselines are `single_task` and, of the others, the one best on validation rows. `positives` is null
    unless the task is binary, `mean_label` where it is multiclass. A slice of fewer than FEWEST_ROWS rows, or with
    one class only, is counted but not scored: `note` says why, `value` is NaN and what follows is null.
    """
    kinds = [column for column in slices.columns if column != "example_id"]
    users = ["user_id"] if has_users(predictions) else []
    samples = min(bootstrap_samples, MOST_SAMPLES)
    test = predictions.lazy().filter(pl.col("split") == "test").select("example_id").collect()
    of_test = test.join(slices, on="example_id", how="left", maintain_order="left")
    found: list[dict] = []
    for task in evaluation.tasks:
        models = [evaluation.candidate, *slice_baselines(evaluation, task)]
        label = label_column(task.name)
        columns = [*users, label, *(prediction_column(model, task.name) for model in models)]
        rows = predictions.lazy().filter(pl.col("split") == "test").select(columns).collect()
        observed = rows[label].is_not_null()
        if observed.any():
            measured = observed_rows(rows.filter(observed), task, models, evaluation.seed)
            for kind in kinds:
                found += score_kind(
                    of_test[kind].filter(observed), measured, task, kind, models, samples, evaluation
                )
    order = {kind: place for place, kind in enumerate(kinds)}
    return pl.DataFrame(sorted(found, key=lambda row: order[row["kind"]]), schema=SLICES_SCHEMA)


def slice_baselines(evaluation: Evaluation, task: Task) -> list[str]:
    """`single_task` where there is one, and the other baseline that is best on validation rows, so that the test
    rows do not choose whom the candidate is held against."""
    first = KINDS[task.kind].headline
    others = {
        model: evaluation.score(task.name, model, first.name, "validation").value
        for model in evaluation.models(task.name)
        if model not in (evaluation.candidate, CEILING, SINGLE_TASK)
    }
    sign = 1 if first.higher_is_better else -1
    best = max(
        others,
        key=lambda model: -math.inf if math.isnan(others[model]) else sign * others[model],
        default=None,
    )
    alone = [SINGLE_TASK] if SINGLE_TASK in evaluation.models(task.name) else []
    return alone + ([best] if best else [])


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


def score_kind(
    column: pl.Series,
    rows: ObservedRows,
    task: Task,
    kind: str,
    models: Sequence[str],
    samples: int,
    evaluation: Evaluation,
) -> Iterator[dict]:
    """Rows of the published frame."""
    members = membership(column)
    if not members.names:
        return
    cluster = "row" if rows.users is None else "user"
    candidate, *baselines = models
    values, statistics = slice_statistics(rows, members)
    resampled = intervals.resample(statistics, rows.group_count, samples, evaluation.seed)
    for name, size in zip(members.names, slice_sizes(rows, members, task), strict=True):
        counted = {"kind": kind, "slice": name, "task": task.name, "candidate": candidate} | size.columns(
            task
        )
        against: list[str | None] = [*baselines] or [None]
        for measure, baseline in itertools.product(KINDS[task.kind].compared, against):
            scored: dict = {"value": math.nan, "note": size.why_not_scored}
            if not size.why_not_scored:
                own = (name, candidate, measure)
                scored = {"value": values[own], "note": ""}
                if baseline:
                    theirs = (name, baseline, measure)
                    scored["baseline_value"] = values[theirs]
                    scored["difference"] = values[own] - values[theirs]
                    scored |= paired(
                        resampled[own],
                        resampled[theirs],
                        KINDS[task.kind].metric(measure),
                        size.clusters,
                        cluster,
                    )
            yield counted | {"metric": measure, "baseline": baseline} | scored


def paired(ours: np.ndarray, theirs: np.ndarray, measure: Metric, clusters: int, cluster: str) -> dict:
    """The interval and the verdict. `ours` and `theirs` (samples,), on the same resamples."""
    if clusters < FEWEST_CLUSTERS:
        return {"verdict": intervals.UNDECIDED, "note": too_few_clusters_note(clusters, cluster)}
    interval = intervals.percentile_interval(ours - theirs, intervals.expanded_quantile(clusters))
    return {
        "low": interval.low,
        "high": interval.high,
        "verdict": intervals.verdict(interval, measure.higher_is_better),
        "note": interval.note or few_clusters_note(clusters, cluster),
    }


def membership(column: pl.Series) -> Membership:
    """Of an Enum column, or a list of Enums."""
    frame = pl.DataFrame({"row": np.arange(len(column)), "slice": column})
    if isinstance(column.dtype, pl.List):
        frame = frame.explode("slice")
    frame = frame.drop_nulls("slice")
    code = frame["slice"].to_physical().to_numpy().astype(np.int64)
    kind = frame.schema["slice"]
    order = kind.categories.to_list() if isinstance(kind, pl.Enum) else []
    rows = np.bincount(code, minlength=len(order))
    names = [name for name, count in zip(order, rows, strict=True) if count]
    one_each = len(frame) == len(column) and not isinstance(column.dtype, pl.List)
    row = slice(None) if one_each else frame["row"].to_numpy()
    return Membership(names, row, (np.cumsum(rows > 0) - 1)[code])


@dataclass(frozen=True)
class SliceSize:
    """What there is to score."""

    rows: int
    clusters: int
    has_users: bool
    label_sum: float
    one_label: float | None
    """The label of every row, where there is but one."""
    kind: str

    @property
    def why_not_scored(self) -> str:
        """Empty where it can be."""
        if self.rows < FEWEST_ROWS:
            return f"counted only: fewer than {FEWEST_ROWS} rows"
        if KINDS[self.kind].one_label_says_nothing and self.one_label is not None:
            return f"counted only: one class, every label is {self.one_label:.0f}"
        return ""

    def columns(self, task: Task) -> dict:
        return {
            "rows": self.rows,
            "users": self.clusters if self.has_users else None,
            "positives": round(self.label_sum) if KINDS[task.kind].is_event else None,
            "mean_label": None if KINDS[task.kind].has_classes else self.label_sum / self.rows,
        }


def slice_sizes(rows: ObservedRows, members: Membership, task: Task) -> list[SliceSize]:
    """One for each of `members.names`."""
    labels, slices = rows.labels[members.row], len(members.names)
    counts = np.bincount(members.code, minlength=slices)
    sums = np.bincount(members.code, weights=labels, minlength=slices)
    some_label = np.zeros(slices)
    some_label[members.code] = labels
    others = np.bincount(members.code, weights=labels != some_label[members.code], minlength=slices)
    clusters = counts if rows.users is None else count_users(rows.users, members)
    return [
        SliceSize(
            rows=int(counts[place]),
            clusters=int(clusters[place]),
            has_users=rows.users is not None,
            label_sum=float(sums[place]),
            one_label=None if others[place] else float(some_label[place]),
            kind=task.kind,
        )
        for place in range(slices)
    ]


def count_users(users: np.ndarray, members: Membership) -> np.ndarray:
    """Distinct users of each slice, (slices,)."""
    shape = (len(members.names), int(users.max()) + 1)
    met = np.zeros(shape, bool)
    met[members.code, users[members.row]] = True
    return np.count_nonzero(met, axis=1)


def slice_statistics(
    rows: ObservedRows, members: Membership
) -> tuple[dict[intervals.Key, float], list[tuple[list[intervals.Key], intervals.Statistic]]]:
    """The value of each (slice, model, metric), and what it takes to resample it."""
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
        found = np.divide(losses, drawn, out=np.full_like(losses, np.nan), where=drawn > 0)
        found = found.reshape(-1, totals.shape[1])
        found[roots] = np.sqrt(found[roots])
        return found

    return keys, intervals.Statistic(np.concatenate([*sums, counts]), means)


def sliced_roc_auc(
    rows: ObservedRows, members: Membership, model: str
) -> tuple[np.ndarray, intervals.Statistic]:
    """ROC-AUC of every slice, (slices,), exact, and its statistic. One sort of integers: slice, level, label, group.

    As in `intervals.roc_auc_statistic` rows are counted in bins of scores, but each slice has bins of its own:
    a slice whose scores all lie close together would else fall into a few.
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
