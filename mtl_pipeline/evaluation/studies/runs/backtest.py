"""Scores of a backtest: every model in every test window, and the candidate's differences averaged over the windows.

An average says what holds over time, and no single window decides it (Tashman 2000,
https://doi.org/10.1016/S0169-2070(00)00065-0). Its interval is a paired bootstrap stratified by window and clustered by
user (Davison & Hinkley 1997, "Bootstrap Methods and Their Application", chapter 3; Field & Welsh 2007, "Bootstrapping
clustered data"): a resample draws users, each with the same count in all windows that they appear in, scores both
models in each window by itself, and averages the differences, every window counting the same. Without users, rows are
drawn, each of which is tested in one window. As in `intervals`, few or dominant users widen it, by Student's quantile:
one user moves the average by the mean of what they move in each window.

The interval covers chance in who was tested, but not chance in training: windows share training rows, and no unbiased
estimate of that variance exists (Bengio & Grandvalet 2004, https://www.jmlr.org/papers/v5/grandvalet04a.html). So the
report also says how far the windows lie apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mtl_pipeline.evaluation.inference.comparing import few_clusters_note, resample_metrics
from mtl_pipeline.evaluation.inference.intervals import (
    BETTER,
    UNDECIDED,
    WORSE,
    Interval,
    Key,
    expanded_quantile,
    percentile_interval,
    verdict,
)
from mtl_pipeline.evaluation.studies.frames import COMPARED, published
from mtl_pipeline.evaluation.studies.scoring import evaluate, in_headline
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.metrics.metric import Metric
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

COMPARISONS = ("window", "task", "metric", "candidate", "baseline", "best_baseline", *COMPARED)
RESAMPLES = ("window", "task", "metric", "baseline", "differences", "influences")
POOLED = (
    *("task", "metric", "candidate", "baseline", "windows", "better", "worse", "undecided"),
    *("difference", "low", "high", "least", "greatest", "verdict", "note"),
)


@dataclass(frozen=True)
class WindowScores:
    """What one window, or several windows together, gave. Frames hold one row per fact."""

    metrics: pl.DataFrame
    """The frame of that name of `Evaluation`, with the window."""
    comparisons: pl.DataFrame
    """Most of the frame of that name of `Evaluation`, with the window; `best_baseline`: whether the baseline is the one
    that BEST_BASELINE means."""
    resamples: pl.DataFrame
    """window, task, metric, baseline, differences: those of the resamples that all windows share; influences: by how
    much each user, or row, moves the difference, NaN for users without a row here; null where there are too many to
    matter."""

    def write(self, folder: Path) -> None:
        for field in fields(self):
            getattr(self, field.name).write_parquet(folder / f"{field.name}.parquet")

    @classmethod
    def read(cls, folder: Path) -> WindowScores:
        return cls(*(pl.read_parquet(folder / f"{field.name}.parquet") for field in fields(cls)))

    @classmethod
    def together(cls, windows: Sequence[WindowScores]) -> WindowScores:
        return cls(*(pl.concat([getattr(one, field.name) for one in windows]) for field in fields(cls)))


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
    number = pl.lit(window, pl.Int64).alias("window")
    best = {task.name: measured.best_baseline(task) for task in tasks}
    best_of_task = pl.col("task").replace_strict(best, return_dtype=pl.String)
    is_best = pl.col("baseline").eq_missing(best_of_task).alias("best_baseline")
    resamples = [
        {"window": window, "task": task.name, **row}
        for task in tasks
        for row in shared_resamples(predictions, task, window, users, bootstrap_samples, seed)
    ]
    return WindowScores(
        metrics=measured.metrics.select(number, pl.all()),
        comparisons=measured.comparisons.with_columns(number, is_best).select(COMPARISONS),
        resamples=published(RESAMPLES, resamples),
    )


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
        # Rows of different windows are different rows, so each window draws its own resamples.
        seed += window
    resampled = resample_metrics(rows, task.kind, samples, seed)
    tested = np.bincount(rows.clusters, minlength=rows.cluster_count) > 0

    def difference(of: dict[Key, np.ndarray], name: str, baseline: str) -> np.ndarray:
        return of[CANDIDATE, name] - of[baseline, name]

    return [
        {
            "metric": name,
            "baseline": baseline,
            "differences": difference(resampled.values, name, baseline),
            "influences": np.where(tested, difference(resampled.influences, name, baseline), np.nan)
            if resampled.influences
            else None,
        }
        for name in KINDS[task.kind].compared
        for baseline in models
        if baseline not in (CANDIDATE, CEILING)
    ]


def number_users(rows: TaskRows, predictions: pl.DataFrame, task: str, users: pl.Series) -> TaskRows:
    """The rows with each user's place among `users` as cluster; both number users in sorted order."""
    tested = (
        predictions.lazy()
        .filter(pl.col("split") == "test", pl.col(label_column(task)).is_not_null())
        .select(pl.col("user_id").unique().sort())
        .collect()
    )
    numbered = users.cast(tested.schema["user_id"]).to_frame("user_id").with_row_index("number")
    numbers = tested.join(numbered, on="user_id", how="left", maintain_order="left")["number"].to_numpy()
    return replace(rows, clusters=numbers[rows.clusters].astype(np.int64), cluster_count=len(users))


def pool_windows(scores: WindowScores, tasks: Sequence[Task], *, resampled: str) -> pl.DataFrame:
    """The frame `pooled`: for each task, compared metric and baseline, and for the best baseline of each window, in how
    many windows the candidate is better, worse or shows no difference, and the mean difference with its interval.

    `least` and `greatest` are the differences of the single windows that lie farthest apart. Windows without a score
    are left out, and noted. `resampled`: 'users' or 'rows'.
    """
    resamples = scores.resamples.rows_by_key(
        ["window", "task", "metric", "baseline"], named=True, unique=True
    )
    pooled = []
    for task in tasks:
        for metric in KINDS[task.kind].compared:
            compared = scores.comparisons.filter(task=task.name, metric=metric)
            single = compared.with_columns(pooled="baseline")
            best = compared.filter("best_baseline").with_columns(pooled=pl.lit(BEST_BASELINE))
            for lines in pl.concat([single, best]).partition_by("pooled", maintain_order=True):
                pooled.append(pool(lines.to_dicts(), KINDS[task.kind].metric(metric), resamples, resampled))
    return published(POOLED, pooled)


def pool(lines: list[dict], metric: Metric, resamples: Mapping[tuple, dict], resampled: str) -> dict:
    """One row of `pooled`. `lines`: rows of `comparisons`, one for each window, and how to name their baseline."""
    scored = [line for line in lines if not math.isnan(line["difference"])]
    verdicts = [line["verdict"] for line in scored if not math.isnan(line["low"])]
    differences = [line["difference"] for line in scored]
    left_out = ", ".join(str(line["window"]) for line in lines if math.isnan(line["difference"]))
    interval = Interval(note="no interval: a window has none" if scored else "")
    if scored and len(verdicts) == len(scored):
        keys = [(line["window"], line["task"], line["metric"], line["baseline"]) for line in scored]
        interval = mean_interval([resamples[key] for key in keys], resampled)
    notes = (f"without window {left_out}" if left_out else "", interval.note)
    return {
        "task": lines[0]["task"],
        "metric": metric.name,
        "candidate": lines[0]["candidate"],
        "baseline": lines[0]["pooled"],
        "windows": len(scored),
        "better": verdicts.count(BETTER),
        "worse": verdicts.count(WORSE),
        "undecided": verdicts.count(UNDECIDED),
        "difference": sum(differences) / len(scored) if scored else math.nan,
        "low": interval.low,
        "high": interval.high,
        "least": min(differences, default=math.nan),
        "greatest": max(differences, default=math.nan),
        "verdict": NOT_SCORED if math.isnan(interval.low) else verdict(interval, metric.higher_is_better),
        "note": "; ".join(filter(None, notes)),
    }


def mean_interval(resamples: Sequence[dict], resampled: str) -> Interval:
    """Of the mean difference over these windows, from a row of `resamples` each."""
    differences = np.mean([row["differences"] for row in resamples], axis=0)
    by_window = [np.array(row["influences"]) for row in resamples if row["influences"] is not None]
    if len(by_window) < len(resamples):
        return percentile_interval(differences)
    if resampled == "rows":
        influences = np.concatenate(by_window) / len(by_window)
    else:
        tested = ~np.isnan(by_window).all(axis=0)
        influences = np.nansum(np.array(by_window)[:, tested], axis=0) / len(by_window)
    interval = percentile_interval(differences, expanded_quantile(len(influences), influences))
    return replace(
        interval, note=interval.note or few_clusters_note(len(influences), resampled.removesuffix("s"))
    )


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
        return [str(window) for window in self.windows["window"]]

    @property
    def window_ticks(self) -> list[str]:
        """The first day of each window's test rows; folds by number."""
        if self.folded:
            return self.window_names
        return [f"{start:%Y-%m-%d}" for start in self.windows["test_start"]]

    @cached_property
    def numbers(self) -> dict[str, float]:
        """Mean differences in the headline metrics, for a plot over runs."""
        return {
            f"{row['task']} {row['metric']} against {row['baseline']}": row["difference"]
            for task in self.tasks
            for row in pooled_rows(self, task)
            if math.isfinite(row["difference"])
        }


def pooled_rows(result: BacktestResult, task: Task) -> list[dict[str, Any]]:
    """Rows of `pooled` in the headline metric against single_task and the best baseline, as far as there are any."""
    rows = {row["baseline"]: row for row in in_headline(result.pooled, task).iter_rows(named=True)}
    return [rows[baseline] for baseline in (SINGLE_TASK, BEST_BASELINE) if baseline in rows]
