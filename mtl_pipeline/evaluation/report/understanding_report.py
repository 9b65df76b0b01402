"""The report's section 'Inside the model': what each task relies on, which experts it listens to, whether the tasks
pull together, and on which rows the model is most wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from mtl_pipeline.evaluation.report.conflict_report import (
    conflict_figure,
    conflict_sentences,
    cosines_by_pair,
)
from mtl_pipeline.evaluation.report.error_report import ErrorTable, error_tables
from mtl_pipeline.evaluation.report.figures.canvas import ReportFigure
from mtl_pipeline.evaluation.report.figures.task_figures import TrainingLog
from mtl_pipeline.evaluation.report.importance_report import importance_figures, importance_sentences
from mtl_pipeline.evaluation.studies.largest_errors import MOST_OF_ONE_USER, ROWS_SHOWN
from mtl_pipeline.spec import Task

IMPORTANCE, EXPERTS, LARGEST_ERRORS = "importance", "experts", "largest_errors"
"""The published frames behind the section."""
STRONGEST_TINT = 55
"""Percent of the accent colour behind the largest weight: text stays legible on it."""


@dataclass(frozen=True)
class ExpertCell:
    expert: str
    weight: str
    """Empty where the task cannot read the expert, which is another task's own."""
    deviation: str
    tint: int
    """Percent of the accent colour behind it."""


@dataclass(frozen=True)
class Understanding:
    importance: list[str]
    """A sentence for each task."""
    importance_figures: list[ReportFigure]
    experts: list[tuple[str, list[ExpertCell]]]
    """Each task with its weight of each expert; empty without a mixture of two experts or more."""
    conflict: list[str]
    """A sentence for each pair of tasks."""
    conflict_figure: ReportFigure | None
    errors: list[ErrorTable]
    error_rows: int = ROWS_SHOWN
    errors_of_one_user: int = MOST_OF_ONE_USER

    @property
    def is_empty(self) -> bool:
        return not (self.importance_figures or self.experts or self.conflict_figure or self.errors)


def understanding(
    frames: Mapping[str, pl.DataFrame], training_log: TrainingLog, tasks: Sequence[Task]
) -> Understanding:
    """`frames`: those of `measure_importance`, `expert_use` and `largest_errors` by IMPORTANCE, EXPERTS and
    LARGEST_ERRORS; one that is missing leaves its part out."""
    importance, experts, errors = (frames.get(name) for name in (IMPORTANCE, EXPERTS, LARGEST_ERRORS))
    pairs = cosines_by_pair(training_log)
    return Understanding(
        importance=[] if importance is None else importance_sentences(importance, tasks),
        importance_figures=[] if importance is None else importance_figures(importance, tasks),
        experts=[] if experts is None else expert_rows(experts),
        conflict=conflict_sentences(pairs),
        conflict_figure=conflict_figure(pairs),
        errors=[] if errors is None else error_tables(errors, tasks),
    )


def expert_rows(experts: pl.DataFrame) -> list[tuple[str, list[ExpertCell]]]:
    if experts.is_empty() or experts["expert"].max() == 1:
        return []
    return [
        (
            str(task),
            [
                ExpertCell(
                    expert=f"expert {row['expert']}" + (f" ({row['owner']} only)" if row["owner"] else ""),
                    weight=f"{row['weight']:.2f}" if row["owner"] in (None, task) else "",
                    deviation=f"{row['deviation']:.2f}",
                    tint=round(STRONGEST_TINT * row["weight"]),
                )
                for row in rows.iter_rows(named=True)
            ],
        )
        for (task,), rows in experts.partition_by("task", maintain_order=True, as_dict=True).items()
    ]
