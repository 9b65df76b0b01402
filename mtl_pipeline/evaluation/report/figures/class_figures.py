"""Figures of a multiclass task: which classes are taken for which, and how well each is told."""

from __future__ import annotations

import numpy as np

from mtl_pipeline.evaluation.report.figures.canvas import Canvas, ReportFigure, add_legend, new_figure
from mtl_pipeline.evaluation.report.figures.palette import LIGHT
from mtl_pipeline.metrics.curves import class_f1, confusion
from mtl_pipeline.metrics.threads import in_threads
from mtl_pipeline.predictions import TaskRows

MOST_NUMBERED = 10
"""A confusion matrix of more classes has no room for numbers."""
MOST_ALPHA = 0.5
"""Text on the darkest cell stays legible, in light and dark."""
LONGEST_NAME = 18
MARKERS = "os^vDP*X"


def class_figures(canvas: Canvas, rows: TaskRows) -> list[ReportFigure]:
    return [confusion_matrix(canvas, rows), f1_by_class(canvas, rows)]


def confusion_matrix(canvas: Canvas, rows: TaskRows) -> ReportFigure:
    """Of the rows of each class, the share that the candidate takes for each class."""
    names = class_names(canvas)
    shares = confusion(rows.labels, rows.predictions[canvas.candidate])
    figure, axes = new_figure()
    axes.grid(visible=False)
    for row, column in np.ndindex(shares.shape):
        share = shares[row, column]
        if np.isnan(share):
            continue
        axes.fill_between(
            [column - 0.5, column + 0.5],
            row - 0.5,
            row + 0.5,
            color=LIGHT["accent"],
            alpha=MOST_ALPHA * share,
            linewidth=0,
        )
        if len(names) <= MOST_NUMBERED:
            axes.text(column, row, f"{share:.2f}", ha="center", va="center", fontsize=8.5)
    places = np.arange(len(names))
    tilted = max(map(len, names)) > 3
    axes.set_xticks(places, names, rotation=40 if tilted else 0, ha="right" if tilted else "center")
    axes.set_yticks(places, names)
    axes.tick_params(length=0)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(f"predicted {canvas.task.name} (most probable class)")
    axes.set_ylabel(f"actual {canvas.task.name}")
    caption = (
        f"Of the rows of each actual class, the share that {canvas.candidate} takes for each class: a line adds up to "
        "1, and the diagonal is right. A class without test rows has an empty line."
    )
    return canvas.finish(figure, "confusion", "Confusion matrix", caption)


def f1_by_class(canvas: Canvas, rows: TaskRows) -> ReportFigure:
    """A row of dots per class, a dot per model."""
    names = class_names(canvas)
    found = in_threads(lambda scores: class_f1(rows.labels, scores), rows.predictions.values())
    places = np.arange(len(names))
    figure, axes = new_figure()
    axes.grid(visible=False, axis="x")
    for place, (model, f1) in enumerate(zip(rows.predictions, found, strict=True)):
        ours = model == canvas.candidate
        axes.plot(
            f1,
            places,
            color=canvas.colours[model],
            linestyle="none",
            marker="o" if ours else MARKERS[1 + place % (len(MARKERS) - 1)],
            markersize=8 if ours else 6,
            markerfacecolor=canvas.colours[model] if ours else "none",
            zorder=4 if ours else 3,
            label=model,
        )
    counts = np.bincount(rows.labels.astype(np.int64), minlength=len(names))
    axes.set_yticks(places, [f"{name} ({count:,})" for name, count in zip(names, counts, strict=True)])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("F1 of the class against the rest")
    axes.set_ylabel(f"{canvas.task.name} (test rows)")
    add_legend(figure, axes)
    caption = (
        "Further right is better. In brackets the test rows of the class: where they are few, F1 is rough."
    )
    return canvas.finish(figure, "f1", "F1 by class", caption)


def class_names(canvas: Canvas) -> list[str]:
    return [
        name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in canvas.task.classes
    ]
