"""The headline score of each task from one evaluation to the next, as a figure with a panel for each task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import matplotlib
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from mtl_pipeline.evaluation.formatting import arrow
from mtl_pipeline.evaluation.report.figures.canvas import SIZE, STYLE, ReportFigure, add_legend
from mtl_pipeline.evaluation.report.figures.palette import DASHED, LIGHT
from mtl_pipeline.evaluation.report.figures.svg import to_svg
from mtl_pipeline.evaluation.studies.history import Record, TaskRecord
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import SINGLE_TASK

MOST_RECORDS = 200
TITLE = "Past evaluations"
CAPTION = (
    "The headline metric on the test rows of each evaluation, with a triangle where the model was promoted. Each "
    "evaluation may have test rows of its own, so hold the lines against each other rather than one against its past."
)


def history_figure(records: Sequence[Record]) -> ReportFigure | None:
    """`records` oldest first, of which the newest MOST_RECORDS are drawn; None for fewer than two."""
    if len(records) < 2:
        return None
    drawn = records[-MOST_RECORDS:]
    tasks = drawn[-1].tasks
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(SIZE[0], 0.9 + 1.1 * len(tasks)), layout="constrained")
        panels = figure.subplots(len(tasks), 1, sharex=True, squeeze=False)[:, 0]
        for axes, task in zip(panels, tasks, strict=True):
            draw_task(axes, drawn, task)
        locator = AutoDateLocator(minticks=3, maxticks=6)
        panels[-1].xaxis.set_major_locator(locator)
        panels[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))
        panels[-1].set_xlabel("time of the evaluation (UTC)")
        add_legend(figure, panels[0])
        return ReportFigure(TITLE, CAPTION, to_svg(figure, "figure-history", f"{TITLE}. {CAPTION}"))


def draw_task(axes: Axes, records: Sequence[Record], task: TaskRecord) -> None:
    metric, candidate = KINDS[task.kind].headline, records[-1].candidate
    times = [utc(record.time) for record in records]
    scores = {
        model: [value_of(record, task, model, metric.name) for record in records]
        for model in (candidate, SINGLE_TASK)
    }
    axes.plot(times, scores[candidate], color=LIGHT["accent"], marker=".", linewidth=2, label=candidate)  # type: ignore[arg-type]
    if not all(map(math.isnan, scores[SINGLE_TASK])):
        axes.plot(times, scores[SINGLE_TASK], color=LIGHT["baseline-2"], linestyle=DASHED, label=SINGLE_TASK)  # type: ignore[arg-type]
    promoted = [place for place, record in enumerate(records) if record.promoted]
    axes.plot(
        [times[place] for place in promoted],  # type: ignore[arg-type]
        [scores[candidate][place] for place in promoted],
        linestyle="none",
        marker="^",
        markersize=8,
        markerfacecolor="none",
        markeredgecolor=LIGHT["ink"],
        label="promoted",
    )
    axes.set_title(
        f"{task.task}, {metric.label} {arrow(metric.higher_is_better)}",
        fontsize=8.5,
        color=LIGHT["ink"],
        loc="left",
    )


def value_of(record: Record, task: TaskRecord, model: str, metric: str) -> float:
    """NaN where the task was not declared yet, or was of another kind."""
    found = record.task(task.task)
    return found.value(model, metric) if found and found.kind == task.kind else math.nan


def utc(iso: str) -> datetime:
    """Without saying so: matplotlib would else show the reader's own zone."""
    time = datetime.fromisoformat(iso)
    return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
