"""Figures of a regression, and of a count."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from mtl_pipeline.evaluation.report.figures.canvas import (
    Canvas,
    ReportFigure,
    add_legend,
    count_rows,
    new_figure,
    rows_per_bin,
    two_panels,
)
from mtl_pipeline.evaluation.report.figures.palette import DOTTED, LIGHT
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.metrics.curves import LabelGroups, group_means, label_groups, reliability
from mtl_pipeline.metrics.threads import in_threads
from mtl_pipeline.predictions import TaskRows


def regression_figures(canvas: Canvas, rows: TaskRows) -> list[ReportFigure]:
    return [predicted_against_actual(canvas, rows), error_by_label(canvas, rows)]


def count_figures(canvas: Canvas, rows: TaskRows) -> list[ReportFigure]:
    return [count_calibration(canvas, rows), error_by_label(canvas, rows)]


def count_calibration(canvas: Canvas, rows: TaskRows) -> ReportFigure:
    """Mean count against mean expected count, by decile of the expected count."""
    figure, axes, histogram = two_panels()
    found = in_threads(lambda expected: reliability(rows.labels, expected), rows.predictions.values())
    curves = dict(zip(rows.predictions, found, strict=True))
    top = max(max(curve.predicted.max(), curve.observed.max()) for curve in curves.values()) * 1.06 or 1.0
    axes.plot([0, top], [0, top], color=LIGHT["muted"], linewidth=1, linestyle=DOTTED, label="perfect")
    for model, curve in curves.items():
        axes.plot(curve.predicted, curve.observed, marker="o", markersize=3.5, **canvas.line_style(model))
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    axes.set_ylabel(f"mean {canvas.task.name} observed (count)")
    histogram.hist(
        np.minimum(rows.predictions[canvas.candidate], top),
        bins=40,
        range=(0, top),
        color=LIGHT["accent"],
        alpha=0.55,
        linewidth=0,
    )
    histogram.set_xlabel(f"expected {canvas.task.name} (count per row)")
    count_rows(histogram)
    add_legend(figure, axes)
    ours = curves[canvas.candidate].rows
    caption = (
        f"Rows by decile of their expected count: on the dotted line, rows expected to have 2 have 2 on average. "
        f"{canvas.candidate}: {len(ours)} groups of {rows_per_bin(ours)} rows. Below: how many test rows "
        f"{canvas.candidate} expects each count of."
    )
    return canvas.finish(figure, "calibration", "Calibration by decile", caption)


def predicted_against_actual(canvas: Canvas, rows: TaskRows) -> ReportFigure:
    """Boxes of the candidate's predictions per label value, and every model's mean."""
    groups = label_groups(rows.labels)
    predicted = rows.predictions[canvas.candidate]
    figure, axes = new_figure()
    low, high = float(groups.centre.min()), float(groups.centre.max())
    axes.plot([low, high], [low, high], color=LIGHT["muted"], linewidth=1, linestyle=DOTTED, label="perfect")
    boxes = [box(predicted[groups.group == group]) for group in range(len(groups.rows))]
    gap = float(np.diff(groups.centre).min()) if len(groups.rows) > 1 else 1.0
    line = {"color": LIGHT["accent"], "linewidth": 1.2}
    axes.bxp(
        boxes,
        positions=groups.centre,
        widths=0.5 * gap,
        showfliers=False,
        manage_ticks=False,
        patch_artist=True,
        boxprops={"facecolor": LIGHT["accent"], "alpha": 0.22, "linewidth": 0},
        medianprops=line | {"linewidth": 2},
        whiskerprops=line,
        capprops=line,
    )
    for model, values in rows.predictions.items():
        if model != canvas.candidate:
            axes.plot(groups.centre, group_means(groups, values), **canvas.line_style(model))
    axes.plot(
        groups.centre,
        group_means(groups, predicted),
        **canvas.line_style(canvas.candidate),
        marker="o",
        markersize=3.5,
    )
    name_label_axis(axes, canvas, groups)
    axes.set_ylabel(f"predicted {canvas.task.name} ({unit(canvas)})")
    add_legend(figure, axes)
    caption = (
        f"Lines: mean prediction per {group_word(groups)}. Boxes: the middle half of {canvas.candidate}'s "
        "predictions, whiskers from the 5th to the 95th percentile."
    )
    return canvas.finish(figure, "predicted", "Predicted against actual", caption)


def error_by_label(canvas: Canvas, rows: TaskRows) -> ReportFigure:
    groups = label_groups(rows.labels)
    figure, axes, counts = two_panels()
    axes.axhline(0, color=LIGHT["muted"], linewidth=1, linestyle=DOTTED)
    error = rows.predictions[canvas.candidate] - rows.labels
    mean = group_means(groups, error)
    deviation = np.sqrt(np.maximum(group_means(groups, error**2) - mean**2, 0))
    axes.fill_between(
        groups.centre, mean - deviation, mean + deviation, color=LIGHT["accent"], alpha=0.16, linewidth=0
    )
    for model, values in rows.predictions.items():
        axes.plot(
            groups.centre,
            group_means(groups, values - rows.labels),
            marker="o",
            markersize=3.5,
            **canvas.line_style(model),
        )
    axes.set_ylabel(f"mean error ({unit(canvas)})")
    gap = float(np.diff(groups.centre).min()) if len(groups.rows) > 1 else 1.0
    counts.bar(groups.centre, groups.rows, width=0.5 * gap, color=LIGHT["accent"], alpha=0.55, linewidth=0)
    count_rows(counts)
    name_label_axis(counts, canvas, groups)
    add_legend(figure, axes)
    caption = (
        f"Predicted minus actual, mean per {group_word(groups)}; above zero is too high. The band is one standard "
        f"deviation of {canvas.candidate}'s errors. Below: test rows."
    )
    return canvas.finish(figure, "error", "Error by label value", caption)


def box(values: np.ndarray) -> dict[str, Any]:
    low, first, median, third, high = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
    return {"whislo": low, "q1": first, "med": median, "q3": third, "whishi": high, "fliers": []}


def unit(canvas: Canvas) -> str:
    return "count" if KINDS[canvas.task.kind].counts_events else "label units"


def group_word(groups: LabelGroups) -> str:
    return "label value" if groups.by_value else f"group of labels ({len(groups.rows)} quantiles)"


def name_label_axis(axes: Axes, canvas: Canvas, groups: LabelGroups) -> None:
    axes.set_xlabel(f"actual {canvas.task.name} ({unit(canvas)})")
    if groups.by_value:
        axes.set_xticks(groups.centre, [f"{value:g}" for value in groups.centre])
