"""The test rows in parts: a figure for each task, and a table for each kind of part."""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl

from mtl_pipeline.evaluation.formatting import MISSING, format_value, percent, shortened
from mtl_pipeline.evaluation.report.document import Section, Table
from mtl_pipeline.evaluation.report.figures.canvas import (
    LONGEST_NAME,
    ReportFigure,
    add_legend,
    draw_intervals,
    new_figure,
)
from mtl_pipeline.evaluation.report.figures.palette import LIGHT
from mtl_pipeline.evaluation.report.wording import labelled, marked
from mtl_pipeline.evaluation.studies.inside.slices import ITEMS, POPULARITY, TIME, USERS
from mtl_pipeline.evaluation.studies.scoring import Evaluation, in_headline
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
HOW_TO_READ = (
    f"The same test rows in parts, each task in its headline metric. Held against {SINGLE_TASK}, and against the other "
    "baseline that is best on validation rows. Of many slices about one in twenty excludes zero without any true "
    "difference: take one as a question to look into, not as an answer."
)
HEADS = ("slice", "task", "test rows", "users", "positives or mean", "metric", "value")
INCHES_A_SLICE = 0.2


def sections(evaluation: Evaluation, slices: pl.DataFrame) -> list[Section]:
    numbers = Section("All slices in numbers", tables=slice_tables(slices, evaluation.tasks))
    figures = slice_figures(slices, evaluation.tasks)
    return [Section("Slices", [HOW_TO_READ], figures=figures, details=[numbers])]


def slice_tables(slices: pl.DataFrame, tasks: Sequence[Task]) -> list[Table]:
    """One for each kind of slice, of the frame of `measure_slices`."""
    return [
        Table(
            [*HEADS, f"{of_kind['candidate'][0]} minus baseline"],
            [
                slice_row(of_slice.to_dicts(), task)
                for task in tasks
                for of_slice in in_headline(of_kind, task).partition_by("slice", maintain_order=True)
            ],
            title=of_kind["kind"][0],
            notes=[MEANINGS.get(of_kind["kind"][0], MEANING_OF_CATEGORY)],
        )
        for of_kind in slices.partition_by("kind", maintain_order=True)
    ]


def slice_row(rows: list[dict], task: Task) -> list[str]:
    """`rows` of the frame, one for each baseline."""
    first = rows[0]
    return [
        first["slice"],
        task.name,
        *(format_value(first[name], 0) for name in ("rows", "users")),
        labels_in_words(first),
        labelled(KINDS[task.kind].headline),
        format_value(first["value"]),
        first["note"] if math.isnan(first["value"]) or not first["baseline"] else against_text(rows),
    ]


def labels_in_words(row: dict) -> str:
    """'1,418 (20.0 %)' positives, or the mean label."""
    if row["positives"] is not None:
        return f"{row['positives']:,} ({percent(row['mean_label'], 1)})"
    return MISSING if row["mean_label"] is None else f"mean {format_value(row['mean_label'])}"


def against_text(rows: list[dict]) -> str:
    """'+0.012 [+0.008, +0.016] ✓ linear; −0.003 single_task (no interval: …)'"""
    texts = [f"{marked(row).text} {row['baseline']}" for row in rows]
    noted = [f" ({row['note']})" if row["note"] else "" for row in rows]
    return "; ".join(text + note for text, note in zip(texts, noted, strict=True))


def slice_figures(slices: pl.DataFrame, tasks: Sequence[Task]) -> list[ReportFigure]:
    """One for each task of which two slices or more have an interval."""
    drawn = [(task, in_headline(slices, task).filter(pl.col("low").is_finite())) for task in tasks]
    return [slice_figure(rows, task) for task, rows in drawn if rows.select("kind", "slice").n_unique() > 1]


def slice_figure(drawn: pl.DataFrame, task: Task) -> ReportFigure:
    """A line for each slice, a dot with its interval for each baseline."""
    candidate, metric = drawn["candidate"][0], KINDS[task.kind].headline
    slices = drawn.select("kind", "slice").unique(maintain_order=True)
    gaps = slices["kind"].rle_id()  # of a line between kinds, from the top down
    height = dict(zip(slices.rows(), (-float(place + gap) for place, gap in enumerate(gaps)), strict=True))
    figure, axes = new_figure(1.2 + INCHES_A_SLICE * len(height))
    axes.axvline(0, color=LIGHT["ink"], linewidth=0.8)
    baselines = sorted(drawn["baseline"].unique(maintain_order=True), key=lambda name: name != SINGLE_TASK)
    for place, baseline in enumerate(baselines):
        rows = drawn.filter(baseline=baseline)
        places = [height[row] + 0.18 - 0.36 * place for row in rows.select("kind", "slice").rows()]
        draw_intervals(axes, places, rows, across=True, style=place, label=f"against {baseline}")
    names = [shortened(f"{kind}: {name}", LONGEST_NAME) for kind, name in height]
    axes.set_yticks(list(height.values()), names)
    axes.tick_params(axis="y", labelsize=8)
    axes.margins(y=0.02)
    axes.set_xlabel(f"{metric.label}, {candidate} minus baseline")
    add_legend(figure, axes)
    better = "right" if metric.higher_is_better else "left"
    caption = (
        f"Difference in {metric.label} with its 95 % interval in each slice; {better} of zero {candidate} is better. "
        "Slices too small to score are not drawn."
    )
    return ReportFigure(f"{task.name} by slice", caption, figure)
