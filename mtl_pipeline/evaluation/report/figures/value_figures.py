"""Figures of a task that predicts one number: a probability, or an expected value."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import PrecisionRecallDisplay, RocCurveDisplay

from mtl_pipeline.evaluation.report.figures.canvas import (
    BARS,
    Canvas,
    ReportFigure,
    add_legend,
    new_figure,
    two_panels,
)
from mtl_pipeline.evaluation.report.figures.palette import DOTTED, LIGHT
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.metrics.curves import (
    group_means,
    label_groups,
    precision_recall_points,
    reliability,
    roc_points,
)
from mtl_pipeline.metrics.threads import in_threads
from mtl_pipeline.metrics.thresholds import threshold_counts
from mtl_pipeline.predictions import TaskRows


def event_figures(canvas: Canvas, rows: TaskRows) -> list[ReportFigure]:
    ranked = ranking_figures(canvas, rows) if rows.labels.min() < rows.labels.max() else []
    return [*ranked, calibration(canvas, rows)]


def number_figures(canvas: Canvas, rows: TaskRows) -> list[ReportFigure]:
    return [calibration(canvas, rows), predicted_against_actual(canvas, rows)]


def ranking_figures(canvas: Canvas, rows: TaskRows) -> list[ReportFigure]:
    counts = in_threads(lambda scores: threshold_counts(rows.labels, scores), rows.predictions.values())
    base_rate = float(rows.labels.mean())
    (roc, roc_axes), (trade, trade_axes) = new_figure(), new_figure()
    for model, count in zip(rows.predictions, counts, strict=True):
        last = {"plot_chance_level": model == canvas.models[-1], "chance_level_kw": {"color": LIGHT["line"]}}
        style = canvas.line_style(model)
        false_positives, true_positives = roc_points(count)
        RocCurveDisplay(fpr=false_positives, tpr=true_positives).plot(roc_axes, curve_kwargs=style, **last)
        recall, precision = precision_recall_points(count)
        PrecisionRecallDisplay(precision, recall, prevalence_pos_label=base_rate).plot(
            trade_axes, curve_kwargs=style, **last
        )
    add_legend(roc, roc_axes)
    add_legend(trade, trade_axes)
    return [
        ReportFigure("ROC curve", "Higher and further left is better; the diagonal is guessing.", roc),
        ReportFigure(
            "Precision and recall",
            f"Higher and further right is better; guessing gives the share of positive rows, {base_rate:.3f}.",
            trade,
        ),
    ]


def calibration(canvas: Canvas, rows: TaskRows) -> ReportFigure:
    """What was predicted against what was observed on average, of probabilities or expected values."""
    figure, axes, histogram = two_panels()
    after = in_threads(lambda predicted: reliability(rows.labels, predicted), rows.predictions.values())
    curves = dict(zip(rows.predictions, after, strict=True))
    raw = reliability(*canvas.before) if canvas.before else None
    shown = [*after, raw] if raw else after
    low = min(0.0, *(curve.predicted.min() for curve in shown))
    ends = low, max(max(curve.predicted.max(), curve.observed.max()) for curve in shown) * 1.06 or 1.0
    axes.plot(ends, ends, color=LIGHT["muted"], linewidth=1, linestyle=DOTTED)
    for model, curve in curves.items():
        axes.plot(curve.predicted, curve.observed, marker="o", markersize=3.5, **canvas.line_style(model))
    if raw:
        style = canvas.line_style(canvas.candidate) | {"linestyle": DOTTED, "linewidth": 1.4}
        axes.plot(raw.predicted, raw.observed, marker="x", **style | {"label": f"{canvas.candidate} before"})
    axes.set_xlim(ends)
    axes.set_ylim(ends)
    event = KINDS[canvas.task.kind].is_event
    axes.set_ylabel("observed share of positives" if event else f"observed {canvas.task.name} (mean)")
    histogram.hist(np.clip(rows.predictions[canvas.candidate], *ends), bins=40, range=ends, **BARS)
    histogram.set_xlabel("predicted probability" if event else f"predicted {canvas.task.name} (label units)")
    add_legend(figure, axes)
    ours = curves[canvas.candidate].rows
    caption = (
        f"On the diagonal what is predicted happens, on average. {canvas.candidate}: {len(ours)} quantile bins of "
        f"{rows_per_bin(ours)} rows each. Below: how many test rows {canvas.candidate} gives each prediction."
    )
    if raw:
        caption += f" Dotted: {canvas.candidate} before it was calibrated on validation rows."
    return ReportFigure("Calibration", caption, figure)


def rows_per_bin(rows: np.ndarray) -> str:
    return f"{rows.min():,}" if rows.min() == rows.max() else f"{rows.min():,} to {rows.max():,}"


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
        dots = {"marker": "o", "markersize": 3.5} if model == canvas.candidate else {}
        axes.plot(groups.centre, group_means(groups, values), **canvas.line_style(model) | dots)
    axes.set_ylabel(f"predicted {canvas.task.name} (label units)")
    counts.bar(groups.centre, groups.rows, width=width, **BARS)
    counts.set_xlabel(f"actual {canvas.task.name} (label units)")
    if groups.by_value:
        counts.set_xticks(groups.centre, [f"{value:g}" for value in groups.centre])
    add_legend(figure, axes)
    each = "label value" if groups.by_value else f"group of labels ({len(groups.rows)} quantiles)"
    caption = (
        f"Lines: mean prediction per {each}; above the dotted line is too high. Boxes: the middle half of "
        f"{canvas.candidate}'s predictions, whiskers from the 5th to the 95th percentile. Below: test rows."
    )
    return ReportFigure("Predicted against actual", caption, figure)
