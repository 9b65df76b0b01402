"""Figures of a binary task: ROC, precision and recall, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
from mtl_pipeline.metrics.curves import Curve, Reliability, precision_recall_points, reliability, roc_points
from mtl_pipeline.metrics.threads import in_threads
from mtl_pipeline.metrics.thresholds import threshold_counts
from mtl_pipeline.predictions import TaskRows


@dataclass(frozen=True)
class BinaryCurves:
    """What the figures draw of one model."""

    reliability: Reliability
    roc: Curve | None
    """None where every label is the same."""
    precision_recall: Curve | None


def binary_figures(canvas: Canvas, rows: TaskRows) -> list[ReportFigure]:
    both = rows.labels.min() < rows.labels.max()

    def curves(probabilities: np.ndarray) -> BinaryCurves:
        bins = reliability(rows.labels, probabilities)
        if not both:
            return BinaryCurves(bins, None, None)
        counts = threshold_counts(rows.labels, probabilities)
        return BinaryCurves(bins, roc_points(counts), precision_recall_points(counts))

    drawn = dict(zip(rows.predictions, in_threads(curves, rows.predictions.values()), strict=True))
    ranking = [roc(canvas, drawn), precision_recall(canvas, rows, drawn)] if both else []
    return [*ranking, calibration(canvas, rows, drawn)]


def roc(canvas: Canvas, curves: Mapping[str, BinaryCurves]) -> ReportFigure:
    figure, axes = new_figure()
    axes.plot([0, 1], [0, 1], color=LIGHT["line"], linewidth=1)
    for model, drawn in curves.items():
        if drawn.roc is not None:
            axes.plot(*drawn.roc, **canvas.line_style(model))
    unit_square(axes)
    axes.set_xlabel("false positive rate (share of negative rows)")
    axes.set_ylabel("true positive rate (share of positive rows)")
    add_legend(figure, axes)
    return canvas.finish(
        figure, "roc", "ROC curve", "Higher and further left is better; the diagonal is guessing."
    )


def precision_recall(canvas: Canvas, rows: TaskRows, curves: Mapping[str, BinaryCurves]) -> ReportFigure:
    figure, axes = new_figure()
    base_rate = float(rows.labels.mean())
    axes.axhline(base_rate, color=LIGHT["line"], linewidth=1)
    for model, drawn in curves.items():
        if drawn.precision_recall is not None and len(drawn.precision_recall[0]) > 1:
            axes.plot(*drawn.precision_recall, **canvas.line_style(model))
        else:
            axes.plot([0, 1], [base_rate, base_rate], **canvas.line_style(model))
    unit_square(axes)
    axes.set_xlabel("recall (share of positive rows found)")
    axes.set_ylabel("precision (positive share of rows found)")
    add_legend(figure, axes)
    caption = (
        f"Higher and further right is better; guessing gives the share of positive rows, {base_rate:.3f}."
    )
    return canvas.finish(figure, "precision-recall", "Precision and recall", caption)


def calibration(canvas: Canvas, rows: TaskRows, drawn: Mapping[str, BinaryCurves]) -> ReportFigure:
    figure, axes, histogram = two_panels()
    curves = {model: found.reliability for model, found in drawn.items()}
    raw = reliability(*canvas.before) if canvas.before else None
    shown = [*curves.values(), raw] if raw else list(curves.values())
    top = max(max(curve.predicted.max(), curve.observed.max()) for curve in shown)
    top = min(1.0, top * 1.08) or 1.0
    axes.plot([0, top], [0, top], color=LIGHT["line"], linewidth=1)
    for model, curve in curves.items():
        axes.plot(curve.predicted, curve.observed, marker="o", markersize=3.5, **canvas.line_style(model))
    if raw:
        axes.plot(
            raw.predicted,
            raw.observed,
            marker="x",
            markersize=5,
            **canvas.line_style(canvas.candidate)
            | {"linestyle": DOTTED, "linewidth": 1.4, "label": f"{canvas.candidate} before"},
        )
    axes.set_ylim(0, top)
    axes.set_ylabel("observed share of positives")
    histogram.hist(
        rows.predictions[canvas.candidate],
        bins=40,
        range=(0, top),
        color=LIGHT["accent"],
        alpha=0.55,
        linewidth=0,
    )
    histogram.set_xlim(0, top)
    histogram.set_xlabel("predicted probability")
    count_rows(histogram)
    add_legend(figure, axes)
    ours = curves[canvas.candidate].rows
    caption = (
        f"On the diagonal a predicted 30 % happens 30 % of the time. {canvas.candidate}: {len(ours)} quantile bins "
        f"of {rows_per_bin(ours)} rows each. Below: how many test rows {canvas.candidate} gives each probability."
    )
    if raw:
        caption += f" Dotted: {canvas.candidate} before it was calibrated on validation rows."
    return canvas.finish(figure, "calibration", "Calibration", caption)


def unit_square(axes: Axes) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
