"""The report's figures of one task, by its kind, and of its training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import ConfusionMatrixDisplay, PrecisionRecallDisplay, RocCurveDisplay

from mtl_pipeline.evaluation.formatting import shortened
from mtl_pipeline.evaluation.report.figures.canvas import (
    BARS,
    LONGEST_NAME,
    Canvas,
    ReportFigure,
    add_legend,
    new_figure,
    two_panels,
)
from mtl_pipeline.evaluation.report.figures.palette import DASHED, DOTTED, LIGHT
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.metrics import curves
from mtl_pipeline.metrics.threads import in_threads
from mtl_pipeline.metrics.thresholds import threshold_counts
from mtl_pipeline.predictions import TaskRows, before_calibration, model_names, task_rows
from mtl_pipeline.spec import Task

LOSS_UNITS = {
    "cross_entropy": "log-loss (nats per row)",
    "focal": "focal loss (nats per row)",
    "squared_error": "squared error (label units²)",
    "absolute_error": "absolute error (label units)",
    "huber": "Huber loss (label units²)",
    "poisson": "Poisson loss (nats per row)",
}

TrainingLog = Sequence[Mapping[str, float]]
"""One entry per validation round: `epoch`, `train_loss/<task>`, `validation_loss/<task>`, `weight/<task>`, and
`gradient_cosine/<task>~<other task>` of tasks that still learn."""

MOST_NUMBERED = 10
"""A confusion matrix of more classes has no room for numbers."""
MOST_ALPHA = 0.5
"""Text on the darkest cell stays legible, in light and dark."""
MARKERS = "s^vDP*X"


def task_figures(
    predictions: pl.DataFrame, task: Task, candidate: str, training_log: TrainingLog
) -> list[ReportFigure]:
    """Every figure of one task on its test rows."""
    models = model_names(predictions, task.name, candidate)
    canvas = Canvas(task, candidate, models, before_calibration(predictions, task.name, candidate, "test"))
    rows = task_rows(predictions, task.name, models, "test")
    drawn = kind_figures(canvas, rows) if len(rows.labels) else []
    return [*drawn, *training_curves(canvas, training_log)]


def kind_figures(canvas: Canvas, rows: TaskRows) -> list[ReportFigure]:
    match KINDS[canvas.task.kind].drawn_as:
        case "classes":
            return [confusion_matrix(canvas, rows), f1_by_class(canvas, rows)]
        case "event":
            ranked = ranking_figures(canvas, rows) if rows.labels.min() < rows.labels.max() else []
            return [*ranked, calibration(canvas, rows)]
        case _:
            return [calibration(canvas, rows), predicted_against_actual(canvas, rows)]


def of_each(rows: TaskRows, measure: Callable[[np.ndarray, np.ndarray], Any]) -> dict[str, Any]:
    """Model → what `measure` finds from labels and predictions."""
    measured = in_threads(lambda predicted: measure(rows.labels, predicted), rows.predictions.values())
    return dict(zip(rows.predictions, measured, strict=True))


def ranking_figures(canvas: Canvas, rows: TaskRows) -> list[ReportFigure]:
    base_rate = float(rows.labels.mean())
    (roc, roc_axes), (trade, trade_axes) = new_figure(), new_figure()
    for model, count in of_each(rows, threshold_counts).items():
        last = {"plot_chance_level": model == canvas.models[-1], "chance_level_kw": {"color": LIGHT["line"]}}
        style = canvas.line_style(model)
        false_positives, true_positives = curves.roc_points(count)
        RocCurveDisplay(fpr=false_positives, tpr=true_positives).plot(roc_axes, curve_kwargs=style, **last)
        recall, precision = curves.precision_recall_points(count)
        display = PrecisionRecallDisplay(precision, recall, prevalence_pos_label=base_rate)
        display.plot(trade_axes, curve_kwargs=style, **last)
    add_legend(roc, roc_axes)
    add_legend(trade, trade_axes)
    guessing = f"guessing gives the share of positive rows, {base_rate:.3f}."
    return [
        ReportFigure("ROC curve", "Higher and further left is better; the diagonal is guessing.", roc),
        ReportFigure("Precision and recall", f"Higher and further right is better; {guessing}", trade),
    ]


def calibration(canvas: Canvas, rows: TaskRows) -> ReportFigure:
    """What was predicted against what was observed on average, of probabilities or expected values."""
    figure, axes, histogram = two_panels()
    by_model = of_each(rows, curves.reliability)
    raw = curves.reliability(*canvas.before) if canvas.before else None
    shown = [*by_model.values(), *([raw] if raw else [])]
    low = min(0.0, *(curve.predicted.min() for curve in shown))
    ends = low, max(max(curve.predicted.max(), curve.observed.max()) for curve in shown) * 1.06 or 1.0
    axes.plot(ends, ends, color=LIGHT["muted"], linewidth=1, linestyle=DOTTED)
    for model, curve in by_model.items():
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
    sizes = by_model[canvas.candidate].rows
    each = " to ".join(f"{size:,}" for size in sorted({sizes.min(), sizes.max()}))
    caption = (
        f"On the diagonal what is predicted happens, on average. {canvas.candidate}: {len(sizes)} quantile bins of "
        f"{each} rows each. Below: how many test rows {canvas.candidate} gives each prediction."
    )
    if raw:
        caption += f" Dotted: {canvas.candidate} before it was calibrated on validation rows."
    return ReportFigure("Calibration", caption, figure)


def predicted_against_actual(canvas: Canvas, rows: TaskRows) -> ReportFigure:
    """Boxes of the candidate's predictions per label value, and every model's mean."""
    groups = curves.label_groups(rows.labels)
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
        axes.plot(groups.centre, curves.group_means(groups, values), **canvas.line_style(model) | dots)
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


def confusion_matrix(canvas: Canvas, rows: TaskRows) -> ReportFigure:
    """Of the rows of each class, the share that the candidate takes for each class."""
    names = [shortened(name, LONGEST_NAME) for name in canvas.task.classes]
    shares = np.nan_to_num(curves.confusion(rows.labels, rows.predictions[canvas.candidate]))
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
    places = np.arange(len(names))
    figure, axes = new_figure()
    axes.grid(visible=False, axis="x")
    for place, (model, f1) in enumerate(of_each(rows, curves.class_f1).items()):
        dots = axes.plot(f1, places, "o", color=canvas.colour(model), markersize=8, label=model)[0]
        if model != canvas.candidate:
            dots.set(marker=MARKERS[place % len(MARKERS)], markersize=6, markerfacecolor="none")
    counts = np.bincount(rows.labels.astype(np.int64), minlength=len(names))
    axes.set_yticks(places, [f"{name} ({count:,})" for name, count in zip(names, counts, strict=True)])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("F1 of the class against the rest")
    axes.set_ylabel(f"{canvas.task.name} (test rows)")
    add_legend(figure, axes)
    caption = (
        "Further right is better. In brackets the test rows of the class; where they are few, F1 is rough."
    )
    return ReportFigure("F1 by class", caption, figure)


def training_curves(canvas: Canvas, training_log: TrainingLog) -> list[ReportFigure]:
    """Nothing where the log holds no losses of this task."""
    validation_key, train_key = f"validation_loss/{canvas.task.name}", f"train_loss/{canvas.task.name}"
    rounds = [entry for entry in training_log if validation_key in entry]
    if not rounds:
        return []
    epochs = np.array([entry["epoch"] for entry in rounds])
    validation = [entry[validation_key] for entry in rounds]
    trained = [entry.get(train_key, np.nan) for entry in rounds]
    figure, axes = new_figure()
    if is_comparable := bool(np.isfinite(trained).any()):
        axes.plot(epochs, trained, color=LIGHT["muted"], linestyle=DASHED, marker=".", label="train")
    axes.plot(epochs, validation, color=LIGHT["accent"], marker=".", linewidth=2, label="validation")
    place = int(np.argmin(validation))
    lowest = f"lowest validation loss: {epochs[place]:g}"
    axes.axvline(epochs[place], color=LIGHT["ink"], linewidth=1, linestyle=DOTTED, label=lowest)
    axes.set_xlabel("epoch (passes over the training rows)")
    axes.set_ylabel(LOSS_UNITS[canvas.task.loss_name])
    axes.xaxis.set_major_locator(MaxNLocator(integer=max(epochs) >= 2, nbins=8))
    add_legend(figure, axes)
    caption = (
        f"Loss of {canvas.candidate} on this task while training, after each validation round and before calibration. "
        + (
            "A validation loss that rises while the train loss falls is overfitting."
            if is_comparable
            else "It trains on the loss of this event and the one it is given together, which is not drawn."
        )
    )
    return [ReportFigure("Training curves", caption, figure)]
