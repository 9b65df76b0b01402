"""Tables that the HTML and the Markdown report share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from mtl_pipeline.champions import short
from mtl_pipeline.evaluation.formatting import format_difference, format_value
from mtl_pipeline.evaluation.inference.intervals import BETTER, WORSE
from mtl_pipeline.evaluation.report.wording import (
    ComparisonLine,
    chain_lines,
    comparison_lines,
    verdict_sentence,
)
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.metrics.metric import CEILING_SHARE, Metric, Score
from mtl_pipeline.metrics.thresholds import WHOLE_CHAIN
from mtl_pipeline.predictions import CEILING, CHAMPION, CONSTANT, SINGLE_TASK

if TYPE_CHECKING:
    from mtl_pipeline.champions import Decision
    from mtl_pipeline.evaluation.studies.scoring import Evaluation
    from mtl_pipeline.spec import Task

EFFECTS = {BETTER: "helps", WORSE: "hurts"}


@dataclass(frozen=True)
class Cell:
    text: str
    best: bool
    note: str


@dataclass(frozen=True)
class CalibrationTable:
    """What calibration did to the models that it changed, on test rows."""

    metrics: tuple[Metric, ...]
    rows: list[tuple[str, list[tuple[str, str]]]]
    """Model, and for each metric its value before and after."""


@dataclass(frozen=True)
class ModelRow:
    model: str
    cells: list[Cell]
    threshold: str
    """Empty where the task has none."""


@dataclass(frozen=True)
class MetricsTable:
    metrics: tuple[Metric, ...]
    rows: list[ModelRow]
    has_thresholds: bool


@dataclass(frozen=True)
class TransferRow:
    """What joint training does to one task, in one metric."""

    task: str
    metric: str
    arrow: str
    alone: str
    together: str
    difference: str
    interval: str
    verdict: str
    effect: str
    """'helps', 'hurts' or the verdict."""
    note: str


@dataclass(frozen=True)
class ChainTable:
    task: str
    chain: str
    """'click → purchase'."""
    rows: int
    table: MetricsTable
    comparisons: list[ComparisonLine]
    verdict: str
    """On the headline metric, in a sentence."""
    notes: list[str]


@dataclass(frozen=True)
class PromotionLine:
    """Challenger against another model on one task, ready to print."""

    task: str
    metric: str
    against: str
    theirs: str
    challenger: str
    difference: str
    interval: str
    margin: str
    outcome: str
    note: str

    @property
    def cells(self) -> list[str]:
        outcome = f"{self.outcome} ({self.note})" if self.note else self.outcome
        compared = [self.against, self.theirs, self.challenger, self.difference, self.interval, self.margin]
        return [self.task, self.metric, *compared, outcome]


def metrics_table(evaluation: Evaluation, task: str, kind: str, split: str = "test") -> MetricsTable:
    """Rows are models, columns are metrics. Best values are marked, and so is every value that prints the same as
    the best; the ceiling takes no part in that."""
    models = evaluation.models(task)
    measured = evaluation.metric_names(task)
    metrics = tuple(metric for metric in (*KINDS[kind].metrics, CEILING_SHARE) if metric.name in measured)
    columns = [[evaluation.score(task, model, metric.name, split) for model in models] for metric in metrics]
    thresholds = {
        row["model"]: format_value(row["threshold"])
        for row in evaluation.thresholds.filter(pl.col("task") == task).iter_rows(named=True)
    }
    return side_by_side(models, metrics, columns, thresholds)


def chain_tables(evaluation: Evaluation) -> list[ChainTable]:
    """One table for each chain of binary tasks."""
    tables = []
    for frame in evaluation.whole_chains.partition_by("chain", maintain_order=True):
        models = frame["model"].unique(maintain_order=True).to_list()
        scores = {
            (row["model"], row["metric"]): Score(row["value"], row["note"])
            for row in frame.iter_rows(named=True)
        }
        metrics = tuple(KINDS["binary"].metric(name) for name in WHOLE_CHAIN)
        columns = [[scores[model, column.name] for model in models] for column in metrics]
        lines = chain_lines(evaluation, frame["chain"][0])
        first = [line for line in lines if line.metric == KINDS["binary"].headline.label]
        tables.append(
            ChainTable(
                task=frame["task"][0],
                chain=frame["chain"][0],
                rows=frame["rows"][0],
                table=side_by_side(models, metrics, columns, {}),
                comparisons=lines,
                verdict=verdict_sentence(f"the whole chain {frame['chain'][0]}", evaluation.candidate, first),
                notes=frame.filter(pl.col("note") != "")["note"].unique(maintain_order=True).to_list(),
            )
        )
    return tables


def calibration_table(evaluation: Evaluation, task: str, kind: str) -> CalibrationTable | None:
    """None where no model was changed."""
    frame = evaluation.calibration.filter(
        pl.col("task") == task, pl.col("split") == "test", pl.col("calibrated")
    )
    values = {
        (row["model"], row["metric"]): (format_value(row["before"]), format_value(row["after"]))
        for row in frame.iter_rows(named=True)
    }
    names = KINDS[kind].calibration_measures
    models = frame["model"].unique(maintain_order=True).to_list()
    rows = [(model, [values[model, name] for name in names]) for model in models]
    return CalibrationTable(tuple(KINDS[kind].metric(name) for name in names), rows) if rows else None


def promotion_lines(decision: Decision) -> list[PromotionLine]:
    """Challenger against a constant answer, the champion and the reference, a line for each task."""
    return [
        PromotionLine(
            task=line.task,
            metric=f"{line.metric} {line.arrow}",
            against=line.against
            if line.against in (CONSTANT, CHAMPION)
            else f"earlier champion {short(line.against)}",
            theirs=format_value(line.theirs),
            challenger=format_value(line.challenger),
            difference=difference,
            interval=interval,
            margin=format_value(line.margin),
            outcome=line.outcome,
            note=line.note,
        )
        for line in decision.comparisons
        for difference, interval in [format_difference(line.difference, line.low, line.high)]
    ]


def side_by_side(
    models: list[str],
    metrics: tuple[Metric, ...],
    columns: list[list[Score]],
    thresholds: dict[str, str],
) -> MetricsTable:
    """`columns`: per metric one score for each of `models`."""
    cells = [metric_cells(models, column, scores) for column, scores in zip(metrics, columns, strict=True)]
    rows = [
        ModelRow(model, list(row), thresholds.get(model, ""))
        for model, row in zip(models, zip(*cells, strict=True), strict=True)
    ]
    return MetricsTable(metrics, rows, bool(thresholds))


def metric_cells(models: list[str], metric: Metric, scores: list[Score]) -> list[Cell]:
    texts = [format_value(score.value) for score in scores]
    in_the_race = {
        model: score.value
        for model, score in zip(models, scores, strict=True)
        if model != CEILING and not math.isnan(score.value)
    }
    best = ""
    if in_the_race and metric.ranks_models:
        best = format_value((max if metric.higher_is_better else min)(in_the_race.values()))
    return [
        Cell(text, model in in_the_race and text == best, score.note)
        for model, text, score in zip(models, texts, scores, strict=True)
    ]


def transfer_table(evaluation: Evaluation) -> list[TransferRow]:
    """Each task trained jointly against alone, by the metrics that are compared; empty where no model is trained
    for one task alone."""
    return [
        row
        for task in evaluation.tasks
        if SINGLE_TASK in evaluation.models(task.name)
        for row in task_transfer(evaluation, task)
    ]


def task_transfer(evaluation: Evaluation, task: Task) -> list[TransferRow]:
    compared = evaluation.comparisons.filter(pl.col("task") == task.name, pl.col("baseline") == SINGLE_TASK)
    lines = [
        line for line in comparison_lines(evaluation, task.name, task.kind) if line.baseline == SINGLE_TASK
    ]
    return [
        TransferRow(
            task=task.name,
            metric=line.metric,
            arrow=line.arrow,
            alone=format_value(row["baseline_value"]),
            together=format_value(row["candidate_value"]),
            difference=line.difference,
            interval=line.interval,
            verdict=line.verdict,
            effect=EFFECTS.get(line.outcome, line.outcome),
            note=line.note,
        )
        for row, line in zip(compared.iter_rows(named=True), lines, strict=True)
    ]
