"""Slices in the report: a table for each kind of slice, a figure for each task, and both as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import polars as pl
from matplotlib.figure import Figure

from mtl_pipeline.evaluation.formatting import MISSING, arrow, format_difference, format_value
from mtl_pipeline.evaluation.inference.intervals import BETTER, WORSE
from mtl_pipeline.evaluation.report.figures.canvas import STYLE, ReportFigure, add_legend
from mtl_pipeline.evaluation.report.figures.palette import LIGHT
from mtl_pipeline.evaluation.report.figures.svg import to_svg
from mtl_pipeline.evaluation.report.markdown import escape, markdown_table
from mtl_pipeline.evaluation.studies.slices import ITEMS, POPULARITY, TIME, USERS
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import SINGLE_TASK
from mtl_pipeline.spec import Task

MEANINGS = {
    USERS: "known: in the training split; new: met for the first time after it",
    ITEMS: "known: in the training split; new: met for the first time after it",
    POPULARITY: "head: the most popular items, which make half of the training interactions; middle: the next 40 %; "
    "tail: the rest; new: not in the training split",
    TIME: "the time of the test rows in spans of equal length",
}
MEANING_OF_CATEGORY = "the most frequent values, each for itself; a row with several values counts in each"
MARKERS = ("o", "D")
COLOURS = ("accent", "baseline-1")
INCHES_A_SLICE = 0.27
LONGEST_NAME = 32
"""Characters of a name beside the figure; the table has all of it."""


@dataclass(frozen=True)
class Against:
    """The candidate minus one baseline in one slice."""

    baseline: str
    difference: str
    interval: str
    verdict: str
    """Empty where there is no interval."""
    note: str


@dataclass(frozen=True)
class SliceLine:
    """One slice and task, in the task's headline metric."""

    slice: str
    task: str
    rows: int
    users: str
    """Empty where there are none."""
    labels: str
    """'1,418 (20.0 %)' positives, or the mean label."""
    metric: str
    arrow: str
    value: str
    against: list[Against]
    note: str
    """Why it was not scored."""


@dataclass(frozen=True)
class SliceTable:
    kind: str
    meaning: str
    lines: list[SliceLine]


def slice_tables(slices: pl.DataFrame, tasks: Sequence[Task]) -> list[SliceTable]:
    """One for each kind of slice, of the frame of `measure_slices`."""
    return [
        SliceTable(
            kind=kind,
            meaning=MEANINGS.get(kind, MEANING_OF_CATEGORY),
            lines=[
                slice_line(of_slice.to_dicts(), task)
                for task in tasks
                for of_slice in first_metric(of_kind, task).partition_by("slice", maintain_order=True)
            ],
        )
        for (kind,), of_kind in slices.partition_by("kind", maintain_order=True, as_dict=True).items()
    ]


def first_metric(slices: pl.DataFrame, task: Task) -> pl.DataFrame:
    return slices.filter(pl.col("task") == task.name, pl.col("metric") == KINDS[task.kind].headline.name)


def slice_line(rows: list[dict], task: Task) -> SliceLine:
    """`rows` of the frame, one for each baseline."""
    first, scored = rows[0], rows[0]["value"] == rows[0]["value"]
    return SliceLine(
        slice=first["slice"],
        task=task.name,
        rows=first["rows"],
        users="" if first["users"] is None else f"{first['users']:,}",
        labels=labels_in_words(first),
        metric=KINDS[task.kind].headline.label,
        arrow=arrow(KINDS[task.kind].headline.higher_is_better),
        value=format_value(first["value"]),
        against=[against(row) for row in rows if scored and row["baseline"]],
        note="" if scored else first["note"],
    )


def labels_in_words(row: dict) -> str:
    if row["positives"] is not None:
        return f"{row['positives']:,} ({row['mean_label']:.1%})".replace("%", "\u00a0%")
    return MISSING if row["mean_label"] is None else f"mean {format_value(row['mean_label'])}"


def against(row: dict) -> Against:
    low, high = (np.nan if row[end] is None else row[end] for end in ("low", "high"))
    difference, interval = format_difference(row["difference"], low, high)
    verdict = "" if interval == MISSING else row["verdict"]
    return Against(row["baseline"], difference, interval, verdict, row["note"])


def slice_figures(slices: pl.DataFrame, tasks: Sequence[Task]) -> list[ReportFigure]:
    """One for each task of which two slices or more have an interval."""
    found = []
    with matplotlib.rc_context(STYLE):
        for position, task in enumerate(tasks):
            drawn = first_metric(slices, task).filter(pl.col("low").is_finite())
            if drawn.select("kind", "slice").n_unique() > 1:
                found.append(slice_figure(drawn, task, f"slices-{position}"))
    return found


def slice_figure(drawn: pl.DataFrame, task: Task, identifier: str) -> ReportFigure:
    """A line for each slice, a dot with its interval for each baseline."""
    candidate, metric = drawn["candidate"][0], KINDS[task.kind].headline
    names = drawn.select("kind", "slice").unique(maintain_order=True)
    height = {row: -place for place, row in enumerate(with_gaps(names.rows())) if row}
    figure = Figure(figsize=(4.6, 1.2 + INCHES_A_SLICE * len(height)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color=LIGHT["ink"], linewidth=0.8)
    sides = [
        SINGLE_TASK,
        *(name for name in drawn["baseline"].unique(maintain_order=True) if name != SINGLE_TASK),
    ]
    for place, baseline in enumerate(name for name in sides if name in drawn["baseline"]):
        rows = drawn.filter(pl.col("baseline") == baseline)
        middle = rows["difference"].to_numpy()
        axes.errorbar(
            middle,
            [height[row] + 0.17 - 0.34 * place for row in rows.select("kind", "slice").rows()],
            xerr=np.maximum([middle - rows["low"].to_numpy(), rows["high"].to_numpy() - middle], 0),
            fmt=MARKERS[place],
            markersize=4.5,
            color=LIGHT[COLOURS[place]],
            label=f"against {baseline}",
        )
    axes.set_yticks(list(height.values()), [shortened(f"{kind}: {name}") for kind, name in height])
    axes.tick_params(axis="y", labelsize=8)
    axes.margins(y=0.02)
    axes.set_xlabel(f"{metric.label}, {candidate} minus baseline")
    add_legend(figure, axes)
    better = "right" if metric.higher_is_better else "left"
    title = f"{task.name} by slice"
    caption = (
        f"Difference in {metric.label} with its 95 % interval in each slice; {better} of zero {candidate} is better. "
        "Slices too small to score are not drawn."
    )
    return ReportFigure(title, caption, to_svg(figure, f"figure-{identifier}", f"{title}. {caption}"))


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"


def with_gaps(rows: list[tuple[str, str]]) -> list[tuple[str, str] | None]:
    """A gap between kinds."""
    spaced: list[tuple[str, str] | None] = []
    for row in rows:
        if spaced and spaced[-1] and spaced[-1][0] != row[0]:
            spaced.append(None)
        spaced.append(row)
    return spaced


def slices_markdown(slices: pl.DataFrame, tasks: Sequence[Task]) -> str:
    """One table of all kinds; empty where there are no slices."""
    rows = [
        [
            escape(table.kind),
            escape(line.slice),
            escape(line.task),
            f"{line.rows:,}",
            line.users,
            line.labels,
            f"{line.metric} {line.arrow}",
            line.value,
            "; ".join(
                f"{side.difference} {side.interval} against {escape(side.baseline)}"
                + (f": **{side.verdict}**" if side.verdict in (BETTER, WORSE) else "")
                for side in line.against
            )
            or escape(line.note),
        ]
        for table in slice_tables(slices, tasks)
        for line in table.lines
    ]
    heads = [
        "kind",
        "slice",
        "task",
        "test rows",
        "users",
        "positives or mean",
        "metric",
        "candidate",
        "difference",
    ]
    return markdown_table(heads, rows) if rows else ""
