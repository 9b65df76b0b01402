"""Scores every model on every task, and compares the candidate with each baseline on the same test rows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from mtl_pipeline.evaluation import intervals
from mtl_pipeline.evaluation.markdown import to_markdown
from mtl_pipeline.evaluation.metrics import (
    COMPARED,
    Score,
    best_f1_threshold,
    binary_scores,
    metric,
    regression_scores,
)
from mtl_pipeline.evaluation.predictions import (
    TaskRows,
    check_labels,
    check_predictions,
    model_names,
    task_rows,
)
from mtl_pipeline.spec import Task

CANDIDATE = "multi_task"
SPLITS = ("validation", "test")
FEWEST_USERS = 2
FEW_USERS = 30

METRICS_SCHEMA = {
    "task": pl.String,
    "kind": pl.String,
    "model": pl.String,
    "split": pl.String,
    "metric": pl.String,
    "value": pl.Float64,
    "rows": pl.Int64,
    "users": pl.Int64,
    "note": pl.String,
}
COMPARISONS_SCHEMA = {
    "task": pl.String,
    "metric": pl.String,
    "candidate": pl.String,
    "baseline": pl.String,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "verdict": pl.String,
    "note": pl.String,
}
THRESHOLDS_SCHEMA = {"task": pl.String, "model": pl.String, "threshold": pl.Float64, "note": pl.String}


@dataclass(frozen=True)
class Evaluation:
    """What was measured. Frames hold one row per fact, so they can be published as they are."""

    tasks: tuple[Task, ...]
    candidate: str
    metrics: pl.DataFrame
    """task, kind, model, split, metric, value, rows, users, note: a NaN value carries its reason in `note`."""
    comparisons: pl.DataFrame
    """task, metric, candidate, baseline, difference, low, high, verdict, note: differences are candidate
    minus baseline."""
    thresholds: pl.DataFrame
    """task, model, threshold, note: chosen on validation, binary tasks only."""
    bootstrap_samples: int
    seed: int

    def models(self, task: str) -> list[str]:
        """Models scored on `task`, the candidate last."""
        return self.metrics.filter(pl.col("task") == task)["model"].unique(maintain_order=True).to_list()

    def score(self, task: str, model: str, metric: str, split: str = "test") -> Score:
        """One cell of the metrics table."""
        row = self.metrics.row(
            by_predicate=(pl.col("task") == task)
            & (pl.col("model") == model)
            & (pl.col("split") == split)
            & (pl.col("metric") == metric),
            named=True,
        )
        return Score(row["value"], row["note"])

    def to_markdown(self) -> str:
        return to_markdown(self)


def evaluate(
    predictions: pl.DataFrame,
    tasks: Sequence[Task],
    *,
    candidate: str = CANDIDATE,
    bootstrap_samples: int = 500,
    seed: int = 0,
) -> Evaluation:
    """Score the wide predictions frame of the validation and test rows.

    Thresholds come from validation only; the candidate is compared with every other model on test rows,
    with paired bootstrap intervals clustered by user. Raises UserError for NaN, infinite, missing or
    impossible predictions, naming task and model.
    """
    metrics: list[dict] = []
    comparisons: list[dict] = []
    thresholds: list[dict] = []
    for task in tasks:
        models = model_names(predictions, task.name, candidate)
        check_labels(predictions, task)
        check_predictions(predictions, task, models)
        rows = {split: task_rows(predictions, task.name, models, split) for split in SPLITS}
        chosen = choose_thresholds(rows["validation"], models) if task.kind == "binary" else {}
        scores = {split: score_models(rows[split], task.kind, chosen) for split in SPLITS}
        metrics += metric_rows(task, rows, scores)
        comparisons += compare(rows["test"], task, scores["test"], candidate, bootstrap_samples, seed)
        thresholds += [
            {"task": task.name, "model": model, "threshold": score.value, "note": score.note}
            for model, score in chosen.items()
        ]
    return Evaluation(
        tasks=tuple(tasks),
        candidate=candidate,
        metrics=pl.DataFrame(metrics, schema=METRICS_SCHEMA),
        comparisons=pl.DataFrame(comparisons, schema=COMPARISONS_SCHEMA),
        thresholds=pl.DataFrame(thresholds, schema=THRESHOLDS_SCHEMA),
        bootstrap_samples=bootstrap_samples,
        seed=seed,
    )


def choose_thresholds(validation: TaskRows, models: Sequence[str]) -> dict[str, Score]:
    return {model: best_f1_threshold(validation.labels, validation.predictions[model]) for model in models}


def score_models(rows: TaskRows, kind: str, thresholds: Mapping[str, Score]) -> dict[str, dict[str, Score]]:
    """Model → metric → score."""
    return {
        model: (
            binary_scores(rows.labels, predicted, thresholds[model].value)
            if kind == "binary"
            else regression_scores(rows.labels, predicted)
        )
        for model, predicted in rows.predictions.items()
    }


def metric_rows(task: Task, rows: Mapping[str, TaskRows], scores: Mapping[str, dict]) -> list[dict]:
    return [
        {
            "task": task.name,
            "kind": task.kind,
            "model": model,
            "split": split,
            "metric": name,
            "value": score.value,
            "rows": len(rows[split].labels),
            "users": rows[split].user_count,
            "note": score.note,
        }
        for split in SPLITS
        for model, by_metric in scores[split].items()
        for name, score in by_metric.items()
    ]


def compare(
    rows: TaskRows,
    task: Task,
    scores: Mapping[str, Mapping[str, Score]],
    candidate: str,
    samples: int,
    seed: int,
) -> list[dict]:
    """The candidate against every baseline, per compared metric."""
    enough_users = rows.user_count >= FEWEST_USERS
    resampled = resample_metrics(rows, task.kind, samples, seed) if enough_users else {}
    comparisons = []
    for name, baseline in itertools.product(COMPARED[task.kind], rows.predictions):
        if baseline == candidate:
            continue
        ours, theirs = scores[candidate][name], scores[baseline][name]
        if undefined := ours.note or theirs.note:
            interval = intervals.Interval(math.nan, math.nan, undefined)
        elif not enough_users:
            interval = intervals.Interval(
                math.nan, math.nan, "no interval: the test rows are of one user only"
            )
        else:
            interval = intervals.percentile_interval(resampled[candidate, name] - resampled[baseline, name])
        comparisons.append(
            {
                "task": task.name,
                "metric": name,
                "candidate": candidate,
                "baseline": baseline,
                "difference": ours.value - theirs.value,
                "low": interval.low,
                "high": interval.high,
                "verdict": intervals.verdict(interval, metric(task.kind, name).higher_is_better),
                "note": interval.note or few_users_note(rows.user_count),
            }
        )
    return comparisons


def resample_metrics(rows: TaskRows, kind: str, samples: int, seed: int) -> dict[tuple[str, str], np.ndarray]:
    """(model, compared metric) → (samples,) values on the same resamples of users."""
    statistics: dict[tuple[str, str], intervals.Statistic] = {}
    for model, predicted in rows.predictions.items():
        if kind == "binary":
            losses = intervals.log_losses(rows.labels, predicted)
            statistics[model, "roc_auc"] = intervals.roc_auc_statistic(
                rows.labels, predicted, rows.users, rows.user_count
            )
            statistics[model, "log_loss"] = intervals.mean_statistic(losses, rows.users, rows.user_count)
        else:
            error = predicted - rows.labels
            statistics[model, "rmse"] = intervals.mean_statistic(error**2, rows.users, rows.user_count)
            statistics[model, "mae"] = intervals.mean_statistic(np.abs(error), rows.users, rows.user_count)
    values = intervals.resample(list(statistics.values()), rows.user_count, samples, seed)
    resampled = dict(zip(statistics, values.T, strict=True))
    return {key: np.sqrt(column) if key[1] == "rmse" else column for key, column in resampled.items()}


def few_users_note(users: int) -> str:
    return f"only {users} users: the interval is rough" if users < FEW_USERS else ""
