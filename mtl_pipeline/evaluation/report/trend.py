"""The past evaluations as one self-contained HTML page: scores, differences and data from run to run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mtl_pipeline.champions import Entry, short
from mtl_pipeline.evaluation.formatting import MISSING, arrow, format_difference, format_value
from mtl_pipeline.evaluation.metrics.task_metrics import headline
from mtl_pipeline.evaluation.report.figures.canvas import ReportFigure
from mtl_pipeline.evaluation.report.figures.palette import DARK, LIGHT, css_variables
from mtl_pipeline.evaluation.report.figures.trend_figures import data_figures, readable_time, trend_figures
from mtl_pipeline.evaluation.report.page import template
from mtl_pipeline.evaluation.studies.history import Record, task_names
from mtl_pipeline.predictions import SINGLE_TASK

ROWS_SHOWN = 100


@dataclass(frozen=True)
class TaskCell:
    """The candidate on one task in one run, ready to print."""

    value: str
    difference: str
    interval: str
    verdict: str
    """Against `single_task`; empty where there is none."""


@dataclass(frozen=True)
class TrendRow:
    """One run."""

    time: str
    window: str
    """First and last day of its test rows."""
    rows: str
    rejected: str
    model: str
    outcome: str
    promoted: bool
    tasks: list[TaskCell]


@dataclass(frozen=True)
class TaskTrend:
    task: str
    kind: str
    metric: str
    arrow: str
    figures: list[ReportFigure]


def render_trend(pipeline: str, records: Sequence[Record], champions: Sequence[Entry] = ()) -> str:
    """The page. `records` oldest first, at least one; `champions` is the history of the champion, of which the
    rollbacks are shown."""
    rollbacks = [
        entry.time
        for entry in champions
        if entry.action == "rolled back" and entry.time >= min(record.time for record in records)
    ]
    kinds = task_names(records)
    tasks = [
        TaskTrend(
            task=task,
            kind=kind,
            metric=headline(kind).label,
            arrow=arrow(headline(kind).higher_is_better),
            figures=trend_figures(records, task, kind, place, rollbacks),
        )
        for place, (task, kind) in enumerate(kinds.items())
    ]
    return template("trend.html.jinja").render(
        pipeline=pipeline,
        candidate=records[-1].candidate,
        summary=summary_sentence(records, len(rollbacks)),
        tasks=tasks,
        data_figures=data_figures(records, kinds),
        rows=[trend_row(record, kinds) for record in reversed(records[-ROWS_SHOWN:])],
        left_out=max(0, len(records) - ROWS_SHOWN),
        single_task=SINGLE_TASK,
        light=Markup(css_variables(LIGHT)),
        dark=Markup(css_variables(DARK)),
    )


def summary_sentence(records: Sequence[Record], rollbacks: int) -> str:
    """'14 evaluations from 2026-11-01 to 2026-11-24; 9 models were promoted; 1 rollback.'"""
    if len(records) == 1:
        return (
            f"One evaluation so far, of {readable_time(records[0].time)}: it is the one point of each figure. "
            "Lines begin with the next model or the next data."
        )
    promoted = sum(record.promoted for record in records)
    parts = [
        f"{len(records):,} evaluations from {readable_time(records[0].time)} to {readable_time(records[-1].time)}",
        f"{promoted:,} {'model was' if promoted == 1 else 'models were'} promoted",
    ]
    if rollbacks:
        parts.append("1 rollback" if rollbacks == 1 else f"{rollbacks:,} rollbacks")
    return "; ".join(parts) + "."


def trend_row(record: Record, kinds: dict[str, str]) -> TrendRow:
    return TrendRow(
        time=readable_time(record.time),
        window=" to ".join(day for day in (record.test_from[:10], record.test_until[:10]) if day) or MISSING,
        rows=f"{record.rows['test']:,}" if "test" in record.rows else MISSING,
        rejected=f"{sum(record.rejected_rows.values()):,}",
        model=short(record.model),
        outcome=outcome(record),
        promoted=record.promoted,
        tasks=[task_cell(record, task, kind) for task, kind in kinds.items()],
    )


def outcome(record: Record) -> str:
    if record.promoted:
        return "promoted"
    if record.is_champion:
        return "champion already"
    return f"refused; {short(record.champion)} stays" if record.champion else "refused; no champion"


def task_cell(record: Record, task: str, kind: str) -> TaskCell:
    found, metric = record.task(task), headline(kind).name
    if found is None or found.kind != kind:
        return TaskCell(MISSING, "", "", "")
    value = format_value(found.value(record.candidate, metric))
    against = found.difference(SINGLE_TASK, metric)
    if against is None:
        return TaskCell(value, "", "", "")
    ends = (math.nan if end is None else end for end in (against.difference, against.low, against.high))
    difference, interval = format_difference(*ends)
    return TaskCell(value, difference, interval, against.verdict if interval != MISSING else "")
