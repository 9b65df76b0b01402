"""Scores every model on every task, and compares the candidate with each baseline on the same test rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from mtl_pipeline.evaluation.inference.comparing import compare
from mtl_pipeline.evaluation.studies.chains import chain_name, chain_rows, whole_chains
from mtl_pipeline.kinds import KINDS, Measured
from mtl_pipeline.metrics.metric import CEILING_SHARE, NO_ROWS, Score, ceiling_share
from mtl_pipeline.metrics.threads import in_threads
from mtl_pipeline.metrics.thresholds import WHOLE_CHAIN, ranking_scores
from mtl_pipeline.predictions import (
    CANDIDATE,
    CEILING,
    CONSTANT,
    TaskRows,
    before_calibration,
    check_labels,
    check_predictions,
    has_users,
    model_names,
    task_rows,
)
from mtl_pipeline.spec import Task

SPLITS = ("validation", "test")

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
    "candidate_value": pl.Float64,
    "baseline_value": pl.Float64,
    "seeds": pl.Int64,
}
CALIBRATION_SCHEMA = {
    "task": pl.String,
    "model": pl.String,
    "split": pl.String,
    "metric": pl.String,
    "before": pl.Float64,
    "after": pl.Float64,
    "calibrated": pl.Boolean,
}
THRESHOLDS_SCHEMA = {"task": pl.String, "model": pl.String, "threshold": pl.Float64, "note": pl.String}
CHAIN_COMPARISONS_SCHEMA = {"chain": pl.String} | COMPARISONS_SCHEMA
WHOLE_CHAINS_SCHEMA = {
    "task": pl.String,
    "chain": pl.String,
    "model": pl.String,
    "metric": pl.String,
    "value": pl.Float64,
    "rows": pl.Int64,
    "note": pl.String,
}


@dataclass(frozen=True)
class Evaluation:
    """What was measured. Frames hold one row per fact, so they can be published as they are."""

    tasks: tuple[Task, ...]
    candidate: str
    metrics: pl.DataFrame
    """task, kind, model, split, metric, value, rows, users, note: a NaN value carries its reason in `note`.
    Those of the split validation flatter: the models were calibrated, and the thresholds chosen, on these rows."""
    comparisons: pl.DataFrame
    """task, metric, candidate, baseline, difference, low, high, verdict, note, candidate_value, baseline_value,
    seeds: differences are candidate minus baseline; of several seeds (see `seeds`) values are means over them."""
    thresholds: pl.DataFrame
    """task, model, threshold, note: chosen on validation, binary tasks only."""
    calibration: pl.DataFrame
    """task, model, split, metric, before, after, calibrated: metrics before and after calibration, the same where
    it changed nothing. On validation, which it was fitted on, those after it flatter."""
    whole_chains: pl.DataFrame
    """task, chain, model, metric, value, rows, note: on test rows, for binary tasks that are conditional on
    another; the probability that all of the chain happens, over all rows where its first task was observed."""
    chain_comparisons: pl.DataFrame
    """chain and the columns of `comparisons`: the same of the whole chains."""
    bootstrap_samples: int
    seed: int
    resampled: str
    """What the intervals are drawn over: 'users', or 'rows' where there are no users."""
    seeds: int = 1
    """Over how many seeds the candidate is compared with its baselines, see `seeds.compare_over_seeds`."""

    def models(self, task: str) -> list[str]:
        """Models scored on `task`: baselines, the candidate, and the ceiling where there is one."""
        return self.metrics.filter(pl.col("task") == task)["model"].unique(maintain_order=True).to_list()

    def metric_names(self, task: str) -> list[str]:
        """Metrics of `task`, which depend on its kind and on whether there are users and a ceiling."""
        return self.metrics.filter(pl.col("task") == task)["metric"].unique(maintain_order=True).to_list()

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


def in_headline(frame: pl.DataFrame, task: Task) -> pl.DataFrame:
    """The rows of one task in its headline metric."""
    return frame.filter(pl.col("task") == task.name, pl.col("metric") == KINDS[task.kind].headline.name)


def evaluate(
    predictions: pl.DataFrame,
    tasks: Sequence[Task],
    *,
    candidate: str = CANDIDATE,
    bootstrap_samples: int = 500,
    seed: int = 0,
) -> Evaluation:
    """Score the wide predictions frame of the validation and test rows.

    Thresholds come from validation only; the candidate is compared with every other model but the ceiling on
    test rows, with paired bootstrap intervals clustered by user where there are users. Raises UserError for
    NaN, infinite, missing or impossible predictions, naming task and model.
    """
    for task in tasks:
        check_labels(predictions, task)
        check_predictions(predictions, task, model_names(predictions, task.name, candidate))
    measured = [evaluate_task(predictions, task, candidate, bootstrap_samples, seed) for task in tasks]
    chains = [
        score_chain(predictions, chain, candidate, bootstrap_samples, seed) for chain in whole_chains(tasks)
    ]
    return Evaluation(
        tasks=tuple(tasks),
        candidate=candidate,
        metrics=pl.DataFrame([row for task in measured for row in task.metrics], schema=METRICS_SCHEMA),
        comparisons=pl.DataFrame(
            [row for task in measured for row in task.comparisons], schema=COMPARISONS_SCHEMA
        ),
        thresholds=pl.DataFrame(
            [row for task in measured for row in task.thresholds], schema=THRESHOLDS_SCHEMA
        ),
        calibration=pl.DataFrame(
            [row for task in measured for row in task.calibration], schema=CALIBRATION_SCHEMA
        ),
        whole_chains=pl.DataFrame(
            [row for chain in chains for row in chain.metrics], schema=WHOLE_CHAINS_SCHEMA
        ),
        chain_comparisons=pl.DataFrame(
            [row for chain in chains for row in chain.comparisons], schema=CHAIN_COMPARISONS_SCHEMA
        ),
        bootstrap_samples=bootstrap_samples,
        seed=seed,
        resampled="users" if has_users(predictions) else "rows",
    )


@dataclass(frozen=True)
class TaskMeasured:
    """Rows of the published frames."""

    metrics: list[dict]
    comparisons: list[dict]
    thresholds: list[dict]
    calibration: list[dict]


def evaluate_task(
    predictions: pl.DataFrame, task: Task, candidate: str, samples: int, seed: int
) -> TaskMeasured:
    models = model_names(predictions, task.name, candidate)
    thresholds: dict[str, Score] = {}
    metrics: list[dict] = []
    comparisons: list[dict] = []
    calibration: list[dict] = []
    for split in SPLITS:
        rows = task_rows(predictions, task.name, models, split)
        scored = score_models(rows, task.kind, thresholds)
        if split == "validation":
            thresholds = {model: found.threshold for model, found in scored.items() if found.threshold}
        scores = {model: found.scores for model, found in scored.items()}
        metrics += metric_rows(task, split, rows, scores)
        calibration += calibration_rows(predictions, task, split, scores)
        if split == "test":
            comparisons = compare(rows, task, scores, candidate, samples, seed)
    return TaskMeasured(
        metrics,
        comparisons,
        [
            {"task": task.name, "model": model, "threshold": score.value, "note": score.note}
            for model, score in thresholds.items()
        ],
        calibration,
    )


def score_models(rows: TaskRows, kind: str, thresholds: Mapping[str, Score]) -> dict[str, Measured]:
    """Model → scores. For a binary task a model without a threshold gets the one with the best F1 on `rows`."""

    def score(model: str) -> Measured:
        users = rows.clusters if rows.has_users else None
        return KINDS[kind].measure(
            rows.labels, rows.predictions[model], threshold=thresholds.get(model), users=users
        )

    scored = dict(zip(rows.predictions, in_threads(score, rows.predictions), strict=True))
    if CEILING in scored and CONSTANT in scored:
        loss = {model: found.scores[KINDS[kind].ceiling_measure].value for model, found in scored.items()}
        for model, found in scored.items():
            found.scores[CEILING_SHARE.name] = ceiling_share(loss[model], loss[CONSTANT], loss[CEILING])
    return scored


def metric_rows(
    task: Task, split: str, rows: TaskRows, scores: Mapping[str, Mapping[str, Score]]
) -> list[dict]:
    return [
        {
            "task": task.name,
            "kind": task.kind,
            "model": model,
            "split": split,
            "metric": name,
            "value": score.value,
            "rows": len(rows.labels),
            "users": rows.users,
            "note": score.note,
        }
        for model, by_metric in scores.items()
        for name, score in by_metric.items()
    ]


def calibration_rows(
    predictions: pl.DataFrame, task: Task, split: str, scores: Mapping[str, Mapping[str, Score]]
) -> list[dict]:
    """Rows of the frame `calibration`; `scores` are those after it."""

    def before(model: str) -> dict[str, float] | None:
        found = before_calibration(predictions, task.name, model, split)
        kind = KINDS[task.kind]
        return kind.values(*found, kind.calibration_measures) if found and len(found[0]) else None

    models = [model for model in scores if model != CEILING]
    return [
        {
            "task": task.name,
            "model": model,
            "split": split,
            "metric": name,
            "before": raw[name] if raw else scores[model][name].value,
            "after": scores[model][name].value,
            "calibrated": raw is not None,
        }
        for model, raw in zip(models, in_threads(before, models), strict=True)
        for name in KINDS[task.kind].calibration_measures
    ]


@dataclass(frozen=True)
class ChainMeasured:
    """Rows of the published frames."""

    metrics: list[dict]
    comparisons: list[dict]


def score_chain(
    predictions: pl.DataFrame, chain: Sequence[Task], candidate: str, samples: int, seed: int
) -> ChainMeasured:
    """The probability that the whole chain happens, on test rows."""
    rows = chain_rows(predictions, chain, candidate, "test")
    scores = chain_scores(rows)
    name, end = chain_name(chain), chain[-1]
    return ChainMeasured(
        metrics=[
            {
                "task": end.name,
                "chain": name,
                "model": model,
                "metric": metric,
                "value": found.value,
                "rows": len(rows.labels),
                "note": found.note,
            }
            for model, by_metric in scores.items()
            for metric, found in by_metric.items()
        ],
        comparisons=[{"chain": name} | row for row in compare(rows, end, scores, candidate, samples, seed)],
    )


def chain_scores(rows: TaskRows) -> dict[str, dict[str, Score]]:
    """Model → metric → score, of the rows of a whole chain."""

    def score(model: str) -> dict[str, Score]:
        if len(rows.labels) == 0:
            return dict.fromkeys(WHOLE_CHAIN, Score(math.nan, NO_ROWS))
        return ranking_scores(rows.labels, rows.predictions[model])

    return dict(zip(rows.predictions, in_threads(score, rows.predictions), strict=True))
