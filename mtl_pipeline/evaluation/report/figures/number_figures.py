"""Figures of a task whose predictions are expected values: a regression, a count."""

from __future__ import annotations

import numpy as np

from mtl_pipeline.evaluation.report.figures.binary_figures import calibration
from mtl_pipeline.evaluation.report.figures.canvas import Canvas, ReportFigure, add_legend, two_panels
from mtl_pipeline.evaluation.report.figures.palette import DOTTED, LIGHT
from mtl_pipeline.metrics.curves import LabelGroups, group_means, label_groups
from mtl_pipeline.predictions import TaskRows


def number_figures(canvas: Canvas, rows: TaskRows) -> list[ReportFigure]:
    return [calibration(canvas, rows), predicted_against_actual(canvas, rows)]


def predicted_against_actual(canvas: Canvas, rows: TaskRows) -> ReportFigure:
    """Boxes of the candidate's predictions per label value, and every model's mean."""
    groups = label_groups(rows.labels)
    predicted = rows.predictions[canvas.candidate]
    figure, axes, counts = two_panels()
    ends = [float(groups.centre.min()), float(groups.centre.max())]
    axes.plot(ends, ends, color=LIGHT["muted"], linewidth=1, linestyle=DOTTED, label="perfect")
    width = 0.5 * (float(np.diff(groups.centre).min()) if len(groups.rows) > 1 else 1.0)
    line = {"color": LIGHT["accent"], "linewidth": 1.2}
    axes.boxplot(
        [predicted[groups.group == group] for group in range(len(groups.rows))],
        positions=groups.centre,
        widths=width,
        whis=(5, 95),
        showfliers=False,
        manage_ticks=False,
        patch_artist=True,
        boxprops={"facecolor": LIGHT["accent"], "alpha": 0.22, "linewidth": 0},
        medianprops=line | {"linewidth": 2},
        whiskerprops=line,
        capprops=line,
    )
    for model, values in rows.predictions.items():
        marked = {"marker": "o", "markersize": 3.5} if model == canvas.candidate else {}
        axes.plot(groups.centre, group_means(groups, values), **canvas.line_style(model) | marked)
    axes.set_ylabel(f"predicted {canvas.task.name} (label units)")
    counts.bar(groups.centre, groups.rows, width=width, color=LIGHT["accent"], alpha=0.55, linewidth=0)
    counts.set_xlabel(f"actual {canvas.task.name} (label units)")
    if groups.by_value:
        counts.set_xticks(groups.centre, [f"{value:g}" for value in groups.centre])
    add_legend(figure, axes)
    caption = (
        f"Lines: mean prediction per {group_word(groups)}; above the dotted line is too high. Boxes: the middle half "
        f"of {canvas.candidate}'s predictions, whiskers from the 5th to the 95th percentile. Below: test rows."
    )
    return ReportFigure("Predicted against actual", caption, figure)


def group_word(groups: LabelGroups) -> str:
    return "label value" if groups.by_value else f"group of labels ({len(groups.rows)} quantiles)"
