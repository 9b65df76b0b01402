"""Scores every model on every task, and compares the candidate with each baseline on the same test rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from mtl_pipeline.evaluation.inference.comparing import compare
from mtl_pipeline.evaluation.studies.chains import chain_name, chain_rows, whole_chains
from mtl_pipeline.evaluation.studies.frames import COMPARED, published
from mtl_pipeline.kinds import KINDS, Measured
from mtl_pipeline.metrics.metric import CEILING_SHARE, NO_ROWS, Score, ceiling_share
from mtl_pipeline.metrics.threads import in_threads
from mtl_pipeline.metrics.thresholds import WHOLE_CHAIN, ranking_scores
from mtl_pipeline.predictions import (
    CANDIDATE,
    CEILING,
    CONSTANT,
    SINGLE_TASK,
    TaskRows,
    before_calibration,
    check_labels,
    check_predictions,
    has_users,
    model_names,
    task_rows,
)
from mtl_pipeline.spec import Task

COMPARISONS = (
    "task",
    "metric",
    "candidate",
    "baseline",
    *COMPARED,
    "candidate_value",
    "baseline_value",
    "seeds",
)
FRAMES = {
    "metrics": ("task", "kind", "model", "split", "metric", "value", "rows", "users", "note"),
    "comparisons": COMPARISONS,
    "thresholds": ("task", "model", "threshold", "note"),
    "calibration": ("task", "model", "split", "metric", "before", "after", "calibrated"),
    "whole_chains": ("task", "chain", "model", "metric", "value", "rows", "note"),
    "chain_comparisons": ("chain", *COMPARISONS),
}
"""The frames of an evaluation and their columns."""


@dataclass(frozen=True)
class Evaluation:
    """What was measured. Frames hold one row per fact, so they can be published as they are; for columns see FRAMES."""

    tasks: tuple[Task, ...]
    candidate: str
    metrics: pl.DataFrame
    """A NaN value carries its reason in `note`. The split validation flatters: the models were calibrated, and the
    thresholds chosen, on these rows."""
    comparisons: pl.DataFrame
    """Differences are candidate minus baseline on test rows; with several seeds, values are means over them."""
    thresholds: pl.DataFrame
    """Chosen on validation, binary tasks only."""
    calibration: pl.DataFrame
    """Metrics before and after calibration, the same where it changed nothing. Those after it flatter on validation,
    which it was fitted on."""
    whole_chains: pl.DataFrame
    """On test rows, for binary tasks that are conditional on another: the probability that the whole chain happens,
    over all rows where its first task was observed."""
    chain_comparisons: pl.DataFrame
    """`comparisons` for the whole chains."""
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
        cell = self.metrics.filter(task=task, model=model, metric=metric, split=split)
        return Score(cell["value"].item(), cell["note"].item())

    def best_baseline(self, task: Task) -> str | None:
        """The baseline other than single_task that has the best headline metric on validation rows, so that the test
        rows do not choose what the candidate is compared with; None without one."""
        headline = KINDS[task.kind].headline

        def goodness(model: str) -> float:
            value = self.score(task.name, model, headline.name, "validation").value
            return -math.inf if math.isnan(value) else value if headline.higher_is_better else -value

        others = (self.candidate, CEILING, SINGLE_TASK)
        baselines = [model for model in self.models(task.name) if model not in others]
        return max(baselines, key=goodness, default=None)


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
    settings = (candidate, bootstrap_samples, seed)
    parts = [score_task(predictions, task, *settings) for task in tasks]
    parts += [score_chain(predictions, chain, *settings) for chain in whole_chains(tasks)]
    frames = {
        name: published(columns, (row for part in parts for row in part.get(name, ())))
        for name, columns in FRAMES.items()
    }
    return Evaluation(
        tasks=tuple(tasks),
        candidate=candidate,
        **frames,
        bootstrap_samples=bootstrap_samples,
        seed=seed,
        resampled="users" if has_users(predictions) else "rows",
        seeds=1,
    )


def score_task(
    predictions: pl.DataFrame, task: Task, candidate: str, samples: int, seed: int
) -> dict[str, list[dict]]:
    """Frame → rows, of one task."""
    metrics, calibration = [], []
    models = model_names(predictions, task.name, candidate)
    for split, rows, measured in score_splits(predictions, task, models):
        scores = {model: measures.scores for model, measures in measured.items()}
        metrics += metric_rows(rows, scores, task=task.name, kind=task.kind, split=split)
        calibration += calibration_rows(predictions, task, split, scores)
    # What follows is about the test rows, which come last.
    return {
        "metrics": metrics,
        "calibration": calibration,
        "comparisons": compare(
            rows, task, scores, candidate, {model: [model] for model in models}, samples, seed
        ),
        "thresholds": [
            {"task": task.name, "model": model, "threshold": threshold.value, "note": threshold.note}
            for model, threshold in chosen_thresholds(measured).items()
        ],
    }


def score_splits(
    predictions: pl.DataFrame, task: Task, models: list[str]
) -> Iterator[tuple[str, TaskRows, dict[str, Measured]]]:
    """Validation, then test at the thresholds that validation chose: the split, its rows, and model → scores."""
    thresholds: dict[str, Score] = {}
    for split in ("validation", "test"):
        rows = task_rows(predictions, task.name, models, split)
        measured = score_models(rows, task.kind, thresholds)
        thresholds = chosen_thresholds(measured)
        yield split, rows, measured


def chosen_thresholds(measured: Mapping[str, Measured]) -> dict[str, Score]:
    return {model: measures.threshold for model, measures in measured.items() if measures.threshold}


def score_models(rows: TaskRows, kind: str, thresholds: Mapping[str, Score]) -> dict[str, Measured]:
    """Model → scores. For a binary task a model without a threshold gets the one with the best F1 on `rows`."""
    users = rows.clusters if rows.has_users else None

    def score(model: str) -> Measured:
        return KINDS[kind].measure(
            rows.labels, rows.predictions[model], threshold=thresholds.get(model), users=users
        )

    measured = dict(zip(rows.predictions, in_threads(score, rows.predictions), strict=True))
    if CEILING in measured and CONSTANT in measured:
        loss = {
            model: measures.scores[KINDS[kind].ceiling_measure].value for model, measures in measured.items()
        }
        for model, measures in measured.items():
            measures.scores[CEILING_SHARE.name] = ceiling_share(loss[model], loss[CONSTANT], loss[CEILING])
    return measured


def metric_rows(rows: TaskRows, scores: Mapping[str, Mapping[str, Score]], **names: str) -> list[dict]:
    return [
        {
            **names,
            "model": model,
            "metric": metric,
            "value": score.value,
            "rows": len(rows.labels),
            "users": rows.users,
            "note": score.note,
        }
        for model, by_metric in scores.items()
        for metric, score in by_metric.items()
    ]


def calibration_rows(
    predictions: pl.DataFrame, task: Task, split: str, scores: Mapping[str, Mapping[str, Score]]
) -> list[dict]:
    """`scores` are those after calibration."""

    def before(model: str) -> dict[str, float] | None:
        rows, kind = before_calibration(predictions, task.name, model, split), KINDS[task.kind]
        return kind.values(*rows, kind.calibration_measures) if rows and len(rows[0]) else None

    models = [model for model in scores if model != CEILING]
    return [
        {
            "task": task.name,
            "model": model,
            "split": split,
            "metric": metric,
            "before": raw[metric] if raw else scores[model][metric].value,
            "after": scores[model][metric].value,
            "calibrated": raw is not None,
        }
        for model, raw in zip(models, in_threads(before, models), strict=True)
        for metric in KINDS[task.kind].calibration_measures
    ]


def score_chain(
    predictions: pl.DataFrame, chain: Sequence[Task], candidate: str, samples: int, seed: int
) -> dict[str, list[dict]]:
    """Frame → rows, of the probability that the whole chain happens, on test rows."""
    rows = chain_rows(predictions, chain, candidate)
    scores, name, end = chain_scores(rows), chain_name(chain), chain[-1]
    compared = compare(rows, end, scores, candidate, {model: [model] for model in scores}, samples, seed)
    return {
        "whole_chains": metric_rows(rows, scores, task=end.name, chain=name),
        "chain_comparisons": [{"chain": name} | row for row in compared],
    }


def chain_scores(rows: TaskRows) -> dict[str, dict[str, Score]]:
    """Model → metric → score, of the rows of a whole chain."""

    def score(model: str) -> dict[str, Score]:
        if len(rows.labels) == 0:
            return dict.fromkeys(WHOLE_CHAIN, Score(math.nan, NO_ROWS))
        return ranking_scores(rows.labels, rows.predictions[model])

    return dict(zip(rows.predictions, in_threads(score, rows.predictions), strict=True))
