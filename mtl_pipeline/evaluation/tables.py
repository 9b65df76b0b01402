"""The side-by-side table of one task: rows are models, columns are metrics on the test split."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from mtl_pipeline.evaluation.metrics import METRICS, Metric
from mtl_pipeline.evaluation.wording import format_value

if TYPE_CHECKING:
    from mtl_pipeline.evaluation.scoring import Evaluation


@dataclass(frozen=True)
class Cell:
    text: str
    best: bool
    note: str


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


def metrics_table(evaluation: Evaluation, task: str, kind: str, split: str = "test") -> MetricsTable:
    """Best values are marked, and so is every value that prints the same as the best."""
    models = evaluation.models(task)
    columns = [metric_cells(evaluation, task, models, metric, split) for metric in METRICS[kind]]
    thresholds = {
        row["model"]: format_value(row["threshold"])
        for row in evaluation.thresholds.filter(pl.col("task") == task).iter_rows(named=True)
    }
    rows = [
        ModelRow(model, list(cells), thresholds.get(model, ""))
        for model, cells in zip(models, zip(*columns, strict=True), strict=True)
    ]
    return MetricsTable(METRICS[kind], rows, bool(thresholds))


def metric_cells(
    evaluation: Evaluation, task: str, models: list[str], metric: Metric, split: str
) -> list[Cell]:
    scores = [evaluation.score(task, model, metric.name, split) for model in models]
    defined = [score.value for score in scores if not math.isnan(score.value)]
    best = ""
    if defined and metric.ranks_models:
        best = format_value(max(defined) if metric.higher_is_better else min(defined))
    texts = [format_value(score.value) for score in scores]
    return [Cell(text, text == best, score.note) for text, score in zip(texts, scores, strict=True)]
