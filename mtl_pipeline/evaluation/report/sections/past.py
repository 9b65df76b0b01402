"""The headline scores of past evaluations, as a figure with a panel for each task. Dagster plots the others, as
metadata."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from matplotlib.axes import Axes
from matplotlib.dates import date2num

from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Section
from mtl_pipeline.evaluation.report.figures.canvas import ReportFigure, add_legend, new_figure, show_dates
from mtl_pipeline.evaluation.report.figures.palette import DASHED, LIGHT
from mtl_pipeline.evaluation.report.wording import labelled
from mtl_pipeline.evaluation.studies.runs.history import Record, TaskRecord
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import SINGLE_TASK

MOST_RECORDS = 200
CAPTION = (
    "The headline metric on the test rows of each evaluation, with a triangle where the model was promoted. Each "
    "evaluation may have test rows of its own, so hold the lines against each other rather than one against its past."
)


def sections(evaluation: Evaluation, context: ReportContext) -> list[Section]:
    alike = [record for record in context.past if record.quick == context.past[-1].quick]
    return [Section("Past evaluations", figures=[history_figure(alike)])] if len(alike) > 1 else []


def history_figure(records: Sequence[Record]) -> ReportFigure:
    """`records` oldest first, of which the newest MOST_RECORDS are drawn."""
    drawn = records[-MOST_RECORDS:]
    tasks = drawn[-1].tasks
    figure, panels = new_figure(0.9 + 0.8 * len(tasks), len(tasks), squeeze=False)
    for axes, task in zip(panels[:, 0], tasks, strict=True):
        draw_task(axes, drawn, task)
    show_dates(panels[-1, 0])
    panels[-1, 0].set_xlabel("time of the evaluation (UTC)")
    add_legend(figure, panels[0, 0])
    return ReportFigure("Scores from one evaluation to the next", CAPTION, figure)


def draw_task(axes: Axes, records: Sequence[Record], task: TaskRecord) -> None:
    metric, candidate = KINDS[task.kind].headline, records[-1].candidate
    times = [when(record.time) for record in records]
    alone, ours = (
        [value_of(record, task, model, metric.name) for record in records]
        for model in (SINGLE_TASK, candidate)
    )
    axes.plot(times, ours, color=LIGHT["accent"], marker=".", linewidth=2, label=candidate)
    if not all(map(math.isnan, alone)):
        axes.plot(times, alone, color=LIGHT["baseline-2"], linestyle=DASHED, label=SINGLE_TASK)
    promoted = [value if record.promoted else math.nan for value, record in zip(ours, records, strict=True)]
    hollow: dict[str, Any] = {"markersize": 8, "markerfacecolor": "none", "markeredgecolor": LIGHT["ink"]}
    axes.plot(times, promoted, "^", label="promoted", **hollow)
    axes.set_title(f"{task.task}, {labelled(metric)}")


def value_of(record: Record, task: TaskRecord, model: str, metric: str) -> float:
    """NaN where the task was not declared yet, or was of another kind."""
    earlier = record.task(task.task)
    return earlier.value(model, metric) if earlier and earlier.kind == task.kind else math.nan


def when(iso: str) -> float:
    """In UTC, as a number: otherwise matplotlib shows the reader's own time zone."""
    time = datetime.fromisoformat(iso)
    return float(date2num(time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time))
