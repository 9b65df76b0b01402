"""Figures of a task with classes: which classes are taken for which, and how well each is told."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from sklearn.metrics import ConfusionMatrixDisplay

from mtl_pipeline.evaluation.formatting import shortened
from mtl_pipeline.evaluation.report.figures.canvas import (
    LONGEST_NAME,
    Canvas,
    ReportFigure,
    add_legend,
    new_figure,
)
from mtl_pipeline.evaluation.report.figures.palette import LIGHT
from mtl_pipeline.metrics.curves import class_f1, confusion
from mtl_pipeline.metrics.threads import in_threads
from mtl_pipeline.predictions import TaskRows

MOST_NUMBERED = 10
"""A confusion matrix of more classes has no room for numbers."""
MOST_ALPHA = 0.5
"""Text on the darkest cell stays legible, in light and dark."""
MARKERS = "s^vDP*X"


def class_figures(canvas: Canvas, rows: TaskRows) -> list[ReportFigure]:
    return [confusion_matrix(canvas, rows), f1_by_class(canvas, rows)]


def confusion_matrix(canvas: Canvas, rows: TaskRows) -> ReportFigure:
    """Of the rows of each class, the share that the candidate takes for each class."""
    names = [shortened(name, LONGEST_NAME) for name in canvas.task.classes]
    shares = np.nan_to_num(confusion(rows.labels, rows.predictions[canvas.candidate]))
    figure, axes = new_figure()
    ends = [to_rgba(LIGHT["accent"], alpha) for alpha in (0, MOST_ALPHA)]
    ConfusionMatrixDisplay(shares, display_labels=names).plot(
        ax=axes,
        include_values=len(names) <= MOST_NUMBERED,
        values_format=".2f",
        cmap=LinearSegmentedColormap.from_list("accent", ends),
        colorbar=False,
        xticks_rotation=40 if max(map(len, names)) > 3 else "horizontal",
        im_kw={"vmin": 0, "vmax": 1},
        text_kw={"color": LIGHT["ink"], "fontsize": 8.5},
    )
    axes.grid(visible=False)
    axes.set_xlabel(f"predicted {canvas.task.name} (most probable class)")
    axes.set_ylabel(f"actual {canvas.task.name}")
    caption = (
        f"Of the rows of each actual class, the share that {canvas.candidate} takes for each class: a line adds up to "
        "1, and the diagonal is right. A class without test rows has a line of zeros."
    )
    return ReportFigure("Confusion matrix", caption, figure)


def f1_by_class(canvas: Canvas, rows: TaskRows) -> ReportFigure:
    """A row of dots per class, a dot per model."""
    names = [shortened(name, LONGEST_NAME) for name in canvas.task.classes]
    scores = in_threads(lambda predicted: class_f1(rows.labels, predicted), rows.predictions.values())
    places = np.arange(len(names))
    figure, axes = new_figure()
    axes.grid(visible=False, axis="x")
    for place, (model, f1) in enumerate(zip(rows.predictions, scores, strict=True)):
        dots: dict[str, Any] = {
            "marker": MARKERS[place % len(MARKERS)],
            "markersize": 6,
            "markerfacecolor": "none",
        }
        if model == canvas.candidate:
            dots = {"marker": "o", "markersize": 8}
        axes.plot(f1, places, color=canvas.colour(model), linestyle="none", label=model, **dots)
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
    return ReportFigure("F1 by class", caption, figure)
