"""Scores of a backtest: every model in every test window, and the candidate's differences averaged over the windows.

An average says what holds over time, and no single window decides it (Tashman 2000,
https://doi.org/10.1016/S0169-2070(00)00065-0). Its interval is a paired bootstrap stratified by window and clustered by
user (Davison & Hinkley 1997, "Bootstrap Methods and Their Application", chapter 3; Field & Welsh 2007, "Bootstrapping
clustered data"): a resample draws users, each with the same count in all windows that they appear in, scores both
models in each window by itself, and averages the differences, every window counting the same. Without users, rows are
drawn, each of which is tested in one window. As in `intervals`, few or dominant users widen it, by Student's quantile:
what one user moves the average by is the mean of what they move in each window.

What the interval holds is chance in who was tested. Chance in training is not in it: windows share training rows, and
no unbiased estimate of that variance exists (Bengio & Grandvalet 2004,
https://www.jmlr.org/papers/v5/grandvalet04a.html). How far the windows lie apart is therefore told beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mtl_pipeline.evaluation.inference import intervals
from mtl_pipeline.evaluation.inference.comparing import few_clusters_note, resample_metrics
from mtl_pipeline.evaluation.studies import scoring
from mtl_pipeline.evaluation.studies.scoring import Evaluation, evaluate, in_headline
from mtl_pipeline.evaluation.studies.slice_scores import slice_baselines
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import (
    CANDIDATE,
    CEILING,
    SINGLE_TASK,
    TaskRows,
    has_users,
    label_column,
    model_names,
    task_rows,
)
from mtl_pipeline.spec import Task

BEST_BASELINE = "best baseline"
"""In the frame `pooled`: in each window the baseline, other than single_task, that is best on its validation rows."""

NOT_SCORED = "not scored"
"""In the frame `pooled`, the verdict where there is no interval to base one on."""

METRICS_SCHEMA = {"window": pl.Int64} | scoring.METRICS_SCHEMA
COMPARISONS_SCHEMA = {
    "window": pl.Int64,
    "task": pl.String,
    "metric": pl.String,
    "candidate": pl.String,
    "baseline": pl.String,
    "best_baseline": pl.Boolean,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "verdict": pl.String,
    "note": pl.String,
}
RESAMPLES_SCHEMA: dict[str, Any] = {
    "window": pl.Int64,
    "task": pl.String,
    "metric": pl.String,
    "baseline": pl.String,
    "differences": pl.List(pl.Float64),
    "influences": pl.List(pl.Float64),
}
POOLED_SCHEMA = {
    "task": pl.String,
    "metric": pl.String,
    "candidate": pl.String,
    "baseline": pl.String,
    "windows": pl.Int64,
    "better": pl.Int64,
    "worse": pl.Int64,
    "undecided": pl.Int64,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "least": pl.Float64,
    "greatest": pl.Float64,
    "verdict": pl.String,
    "note": pl.String,
}
FRAMES = {"metrics": METRICS_SCHEMA, "comparisons": COMPARISONS_SCHEMA, "resamples": RESAMPLES_SCHEMA}


@dataclass(frozen=True)
class WindowScores:
    """What one window, or several windows together, gave. Frames hold one row per fact."""

    metrics: pl.DataFrame
    """window, task, kind, model, split, metric, value, rows, users, note: a NaN value carries its reason in `note`."""
    comparisons: pl.DataFrame
    """window, task, metric, candidate, baseline, best_baseline, difference, low, high, verdict, note, on test rows.
    Differences are candidate minus baseline; `best_baseline`: whether it is, of those other than single_task, the one
    that is best on the window's validation rows."""
    resamples: pl.DataFrame
    """window, task, metric, baseline, differences: those of the resamples that all windows share; influences: by how
    much each user, or row, moves the difference, NaN for users without a row here; null where there are too many to
    matter."""

    def write(self, folder: Path) -> None:
        for name in FRAMES:
            getattr(self, name).write_parquet(folder / f"{name}.parquet")

    @classmethod
    def read(cls, folder: Path) -> WindowScores:
        return cls(**{name: pl.read_parquet(folder / f"{name}.parquet") for name in FRAMES})

    @classmethod
    def together(cls, windows: Sequence[WindowScores]) -> WindowScores:
        return cls(**{name: pl.concat([getattr(one, name) for one in windows]) for name in FRAMES})


def score_window(
    predictions: pl.DataFrame,
    tasks: Sequence[Task],
    *,
    window: int,
    users: pl.Series | None,
    bootstrap_samples: int,
    seed: int,
) -> WindowScores:
    """Score one window's wide predictions frame, as `evaluate` does the only split of an evaluation.

    `users`: every user of any window's test rows, sorted, so that a resample counts each the same in every window;
    None where there are no users. Raises UserError for predictions that no metric may hide.
    """
    measured = evaluate(predictions, tasks, bootstrap_samples=bootstrap_samples, seed=seed)
    best = {task.name: best_baseline(measured, task) for task in tasks}
    comparisons = measured.comparisons.with_columns(
        pl.lit(window, pl.Int64).alias("window"),
        pl.Series(
            "best_baseline",
            [
                best[task] == baseline
                for task, baseline in measured.comparisons.select("task", "baseline").rows()
            ],
            dtype=pl.Boolean,
        ),
    ).select(list(COMPARISONS_SCHEMA))
    resamples = [
        {"window": window, "task": task.name, **row}
        for task in tasks
        for row in shared_resamples(predictions, task, window, users, bootstrap_samples, seed)
    ]
    return WindowScores(
        metrics=measured.metrics.with_columns(pl.lit(window, pl.Int64).alias("window")).select(
            list(METRICS_SCHEMA)
        ),
        comparisons=comparisons,
        resamples=pl.DataFrame(resamples, schema=RESAMPLES_SCHEMA),
    )


def best_baseline(measured: Evaluation, task: Task) -> str | None:
    """None where there is none besides single_task."""
    return next((name for name in reversed(slice_baselines(measured, task)) if name != SINGLE_TASK), None)


def shared_resamples(
    predictions: pl.DataFrame, task: Task, window: int, users: pl.Series | None, samples: int, seed: int
) -> list[dict]:
    """Rows of the frame `resamples`: the differences of the test rows in the resamples that all windows share."""
    models = model_names(predictions, task.name, CANDIDATE)
    rows = task_rows(predictions, task.name, models, "test")
    if len(rows.labels) == 0:
        return []
    if users is not None and has_users(predictions):
        rows = number_users(rows, predictions, task.name, users)
    else:
        # Rows of different windows are different rows, so each window draws by itself.
        seed += window
    found = resample_metrics(rows, task.kind, samples, seed)
    tested = np.bincount(rows.clusters, minlength=rows.cluster_count) > 0
    return [
        {
            "metric": name,
            "baseline": baseline,
            "differences": found.values[CANDIDATE, name] - found.values[baseline, name],
            "influences": np.where(
                tested, found.influences[CANDIDATE, name] - found.influences[baseline, name], np.nan
            )
            if found.influences
            else None,
        }
        for name in KINDS[task.kind].compared
        for baseline in models
        if baseline not in (CANDIDATE, CEILING)
    ]


def number_users(rows: TaskRows, predictions: pl.DataFrame, task: str, users: pl.Series) -> TaskRows:
    """The rows with each user's number among `users` as cluster; both number users in sorted order."""
    tested = (
        predictions.lazy()
        .filter(pl.col("split") == "test", pl.col(label_column(task)).is_not_null())
        .select(pl.col("user_id").unique().sort())
        .collect()
    )
    numbered = users.cast(tested.schema["user_id"]).to_frame("user_id").with_row_index("number")
    numbers = tested.join(numbered, on="user_id", how="left", maintain_order="left")["number"].to_numpy()
    return replace(rows, clusters=numbers[rows.clusters].astype(np.int64), cluster_count=len(users))


@dataclass(frozen=True)
class Resample:
    """The candidate minus one baseline in one window, in the resamples that all windows share."""

    differences: np.ndarray
    """(samples,)."""
    influences: np.ndarray | None
    """(users,), the same users in all windows and NaN where they were not tested, or (rows,)."""


def pool_windows(scores: WindowScores, tasks: Sequence[Task], *, resampled: str) -> pl.DataFrame:
    """The frame `pooled`: for each task, compared metric and baseline, and for the best baseline of each window, in how
    many windows the candidate is better, worse or shows no difference, and the mean difference with its interval.

    `least` and `greatest` are the differences of single windows that lie farthest apart. Windows without a score are
    left out, and noted. `resampled`: 'users' or 'rows'.
    """
    resamples = {
        (row["window"], row["task"], row["metric"], row["baseline"]): Resample(
            np.array(row["differences"], np.float64),
            None if row["influences"] is None else np.array(row["influences"], np.float64),
        )
        for row in scores.resamples.iter_rows(named=True)
    }
    rows = []
    for task in tasks:
        for name in KINDS[task.kind].compared:
            compared = scores.comparisons.filter(pl.col("task") == task.name, pl.col("metric") == name)
            best = compared.filter("best_baseline").with_columns(group=pl.lit(BEST_BASELINE))
            single = compared.with_columns(group=pl.col("baseline"))
            for lines in pl.concat([single, best]).partition_by("group", maintain_order=True):
                rows.append(pool(lines.to_dicts(), task, name, resamples, resampled))
    return pl.DataFrame(rows, schema=POOLED_SCHEMA)


def pool(
    lines: list[dict],
    task: Task,
    name: str,
    resamples: Mapping[tuple[int, str, str, str], Resample],
    resampled: str,
) -> dict:
    """One row of `pooled`. `lines`: rows of `comparisons`, one for each window, with their `group`."""
    scored = [line for line in lines if not math.isnan(line["difference"])]
    judged = [line["verdict"] for line in scored if not math.isnan(line["low"])]
    differences = [line["difference"] for line in scored]
    if scored and len(judged) == len(scored):
        drawn = [resamples[line["window"], task.name, name, line["baseline"]] for line in scored]
        interval = mean_interval(drawn, resampled)
    else:
        interval = intervals.Interval(math.nan, math.nan, "no interval: a window has none" if scored else "")
    left_out = [str(line["window"]) for line in lines if math.isnan(line["difference"])]
    notes = [f"without window {', '.join(left_out)}"] if left_out else []
    return {
        "task": task.name,
        "metric": name,
        "candidate": lines[0]["candidate"],
        "baseline": lines[0]["group"],
        "windows": len(scored),
        "better": judged.count(intervals.BETTER),
        "worse": judged.count(intervals.WORSE),
        "undecided": judged.count(intervals.UNDECIDED),
        "difference": mean(differences),
        "low": interval.low,
        "high": interval.high,
        "least": min(differences, default=math.nan),
        "greatest": max(differences, default=math.nan),
        "verdict": NOT_SCORED
        if math.isnan(interval.low)
        else intervals.verdict(interval, KINDS[task.kind].metric(name).higher_is_better),
        "note": "; ".join([*notes, *([interval.note] if interval.note else [])]),
    }


def mean_interval(drawn: Sequence[Resample], resampled: str) -> intervals.Interval:
    """Of the mean difference over these windows."""
    differences = np.mean([one.differences for one in drawn], axis=0)
    found = [one.influences for one in drawn if one.influences is not None]
    if len(found) < len(drawn):
        return intervals.percentile_interval(differences)
    if resampled == "rows":
        influences = np.concatenate(found) / len(drawn)
    else:
        by_window = np.array(found)
        tested = ~np.isnan(by_window).all(axis=0)
        influences = np.nansum(by_window[:, tested], axis=0) / len(drawn)
    interval = intervals.percentile_interval(
        differences, intervals.expanded_quantile(len(influences), influences)
    )
    note = interval.note or few_clusters_note(len(influences), resampled.removesuffix("s"))
    return replace(interval, note=note)


def mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else math.nan


@dataclass(frozen=True)
class BacktestResult:
    """What a backtest found, and how it was done."""

    pipeline: str
    created_at: str
    """ISO time."""
    tasks: tuple[Task, ...]
    windows: pl.DataFrame
    """window, is_test_split, then rows, start and end (times, or null) of train, validation and test, best_epoch,
    seconds."""
    scores: WindowScores
    """Of all windows."""
    pooled: pl.DataFrame
    """Of `pool_windows`."""
    training: str
    """expanding or rolling."""
    hash_by: Sequence[str]
    """Empty where time splits."""
    bootstrap_samples: int
    seed: int
    resampled: str
    """'users' or 'rows'."""
    fingerprint: str
    resumed: int
    """Windows that an earlier run had finished."""

    @property
    def folded(self) -> bool:
        return bool(self.hash_by)

    @property
    def unit(self) -> str:
        return "fold" if self.folded else "window"

    @property
    def window_names(self) -> list[str]:
        return [f"{row}" for row in self.windows["window"]]

    @property
    def window_ticks(self) -> list[str]:
        """The first day of each window's test rows; folds by number."""
        if self.folded:
            return self.window_names
        return [f"{start:%Y-%m-%d}" for start in self.windows["test_start"]]

    @cached_property
    def numbers(self) -> dict[str, float]:
        """Mean differences in the headline metrics, for a plot over runs."""
        found = {
            f"{row['task']} {row['metric']} against {row['baseline']}": row["difference"]
            for task in self.tasks
            for row in pooled_rows(self, task)
        }
        return {name: value for name, value in found.items() if math.isfinite(value)}


def pooled_rows(result: BacktestResult, task: Task) -> list[dict[str, Any]]:
    """Rows of `pooled` in the headline metric against single_task and the best baseline, those that there are."""
    found = {row["baseline"]: row for row in in_headline(result.pooled, task).iter_rows(named=True)}
    return [found[baseline] for baseline in (SINGLE_TASK, BEST_BASELINE) if baseline in found]
