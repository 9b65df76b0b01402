"""The report's figures. Each function draws one and returns it with the sentence that says how to read it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from mtl_pipeline.evaluation.curves import (
    LabelGroups,
    group_means,
    label_groups,
    precision_recall_points,
    reliability,
    roc_points,
)
from mtl_pipeline.evaluation.palette import DASHED, DASHES, DOTTED, LIGHT, colour_names
from mtl_pipeline.evaluation.predictions import TaskRows, model_names, task_rows
from mtl_pipeline.evaluation.svg import SETTINGS, to_svg
from mtl_pipeline.spec import Task

SIZE = (4.6, 3.9)
"""Inches; on the page a figure takes the width it is given."""

STYLE: dict[Any, Any] = SETTINGS | {
    "font.size": 9.5,
    "axes.labelsize": 9.5,
    "axes.edgecolor": LIGHT["line"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LIGHT["line"],
    "grid.linewidth": 0.6,
    "xtick.color": LIGHT["line"],
    "ytick.color": LIGHT["line"],
    "xtick.labelcolor": LIGHT["muted"],
    "ytick.labelcolor": LIGHT["muted"],
    "text.color": LIGHT["ink"],
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.4,
}

TrainingLog = Sequence[Mapping[str, float]]
"""One entry per validation round: `epoch`, `train_loss/<task>`, `validation_loss/<task>`, and `weight/<task>`
where the weighting is learned."""


@dataclass(frozen=True)
class ReportFigure:
    title: str
    caption: str
    svg: str


@dataclass(frozen=True)
class Canvas:
    """What every figure of one task needs to know."""

    task: str
    kind: str
    candidate: str
    colours: Mapping[str, str]
    """Model → colour."""
    dashes: Mapping[str, Any]
    identifier: str
    """Unique on the page, safe in an id."""

    def line_style(self, model: str) -> dict[str, Any]:
        ours = model == self.candidate
        return {
            "color": self.colours[model],
            "linestyle": self.dashes[model],
            "linewidth": 2.2 if ours else 1.4,
            "zorder": 4 if ours else 3,
            "label": model,
        }

    def finish(self, figure: Figure, name: str, title: str, caption: str) -> ReportFigure:
        identifier = f"{self.identifier}-{name}"
        return ReportFigure(title, caption, to_svg(figure, identifier, f"{self.task}: {title}. {caption}"))


def task_figures(
    predictions: pl.DataFrame,
    task: Task,
    candidate: str,
    training_log: TrainingLog,
    chosen_epoch: float | None,
    position: int,
) -> list[ReportFigure]:
    """Every figure of one task on its test rows. `position` is the task's place in the report."""
    models = model_names(predictions, task.name, candidate)
    colours = colour_names(models, candidate)
    canvas = Canvas(
        task=task.name,
        kind=task.kind,
        candidate=candidate,
        colours={model: LIGHT[name] for model, name in colours.items()},
        dashes={
            model: "solid" if model == candidate else DASHES[place % len(DASHES)]
            for place, model in enumerate(models)
        },
        identifier=f"figure-{position}-{re.sub('[^a-z0-9]+', '-', task.name.lower()).strip('-')}",
    )
    rows = task_rows(predictions, task.name, models, "test")
    with matplotlib.rc_context(STYLE):
        figures = [training_curves(canvas, training_log, chosen_epoch)]
        if len(rows.labels) == 0:
            return drawn(figures)
        if task.kind == "regression":
            return drawn([*figures, predicted_against_actual(canvas, rows), error_by_label(canvas, rows)])
        if rows.labels.min() < rows.labels.max():
            figures += [roc(canvas, rows), precision_recall(canvas, rows)]
        return drawn([*figures, calibration(canvas, rows)])


def drawn(figures: Sequence[ReportFigure | None]) -> list[ReportFigure]:
    return [figure for figure in figures if figure is not None]


def training_curves(
    canvas: Canvas, training_log: TrainingLog, chosen_epoch: float | None
) -> ReportFigure | None:
    """None when the log holds no losses of this task."""
    validation_key, train_key = f"validation_loss/{canvas.task}", f"train_loss/{canvas.task}"
    rounds = [entry for entry in training_log if validation_key in entry]
    if not rounds:
        return None
    epochs = [entry["epoch"] for entry in rounds]
    validation = [entry[validation_key] for entry in rounds]
    figure, axes = new_figure()
    trained = [(entry["epoch"], entry[train_key]) for entry in rounds if train_key in entry]
    if trained:
        axes.plot(
            *zip(*trained, strict=True), color=LIGHT["muted"], linestyle=DASHED, marker=".", label="train"
        )
    axes.plot(epochs, validation, color=LIGHT["accent"], marker=".", linewidth=2, label="validation")
    place = (
        int(np.argmin(validation))
        if chosen_epoch is None
        else int(np.argmin(np.abs(np.subtract(epochs, chosen_epoch))))
    )
    what = "lowest validation loss" if chosen_epoch is None else "chosen epoch"
    axes.axvline(epochs[place], color=LIGHT["ink"], linewidth=0.8, linestyle=DOTTED)
    axes.plot(
        [epochs[place]],
        [validation[place]],
        marker="o",
        markersize=8,
        markerfacecolor="none",
        markeredgecolor=LIGHT["ink"],
        linestyle="none",
        label=f"{what}: {epochs[place]:g}",
    )
    axes.set_xlabel("epoch (passes over the training rows)")
    axes.set_ylabel("log-loss (nats per row)" if canvas.kind == "binary" else "squared error (label units²)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=max(epochs) >= 2, nbins=8))
    add_legend(figure, axes)
    caption = (
        f"Loss of {canvas.candidate} on this task while training, after each validation round. "
        "A validation loss that rises while the train loss falls is overfitting."
    )
    return canvas.finish(figure, "training", "Training curves", caption)


def roc(canvas: Canvas, rows: TaskRows) -> ReportFigure:
    figure, axes = new_figure()
    axes.plot([0, 1], [0, 1], color=LIGHT["line"], linewidth=1)
    for model, probabilities in rows.predictions.items():
        axes.plot(*roc_points(rows.labels, probabilities), **canvas.line_style(model))
    unit_square(axes)
    axes.set_xlabel("false positive rate (share of negative rows)")
    axes.set_ylabel("true positive rate (share of positive rows)")
    add_legend(figure, axes)
    return canvas.finish(
        figure, "roc", "ROC curve", "Higher and further left is better; the diagonal is guessing."
    )


def precision_recall(canvas: Canvas, rows: TaskRows) -> ReportFigure:
    figure, axes = new_figure()
    base_rate = float(rows.labels.mean())
    axes.axhline(base_rate, color=LIGHT["line"], linewidth=1)
    for model, probabilities in rows.predictions.items():
        recall, precision = precision_recall_points(rows.labels, probabilities)
        if len(recall) > 1:
            axes.plot(recall, precision, **canvas.line_style(model))
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


def calibration(canvas: Canvas, rows: TaskRows) -> ReportFigure:
    figure = Figure(figsize=SIZE, layout="constrained")
    axes, histogram = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
    curves = {
        model: reliability(rows.labels, probabilities) for model, probabilities in rows.predictions.items()
    }
    top = max(max(curve.predicted.max(), curve.observed.max()) for curve in curves.values())
    top = min(1.0, top * 1.08) or 1.0
    axes.plot([0, top], [0, top], color=LIGHT["line"], linewidth=1)
    for model, curve in curves.items():
        axes.plot(curve.predicted, curve.observed, marker="o", markersize=3.5, **canvas.line_style(model))
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
    histogram.set_ylabel("rows")
    histogram.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    histogram.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    add_legend(figure, axes)
    ours = curves[canvas.candidate].rows
    counts = f"{ours.min():,}" if ours.min() == ours.max() else f"{ours.min():,} to {ours.max():,}"
    caption = (
        f"On the diagonal a predicted 30 % happens 30 % of the time. {canvas.candidate}: {len(ours)} quantile bins "
        f"of {counts} rows each. Below: how many test rows {canvas.candidate} gives each probability."
    )
    return canvas.finish(figure, "calibration", "Calibration", caption)


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
    axes.set_ylabel(f"predicted {canvas.task} (label units)")
    add_legend(figure, axes)
    caption = (
        f"Lines: mean prediction per {group_word(groups)}. Boxes: the middle half of {canvas.candidate}'s "
        "predictions, whiskers from the 5th to the 95th percentile."
    )
    return canvas.finish(figure, "predicted", "Predicted against actual", caption)


def error_by_label(canvas: Canvas, rows: TaskRows) -> ReportFigure:
    groups = label_groups(rows.labels)
    figure = Figure(figsize=SIZE, layout="constrained")
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
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
    axes.set_ylabel("mean error (label units)")
    gap = float(np.diff(groups.centre).min()) if len(groups.rows) > 1 else 1.0
    counts.bar(groups.centre, groups.rows, width=0.5 * gap, color=LIGHT["accent"], alpha=0.55, linewidth=0)
    counts.set_ylabel("rows")
    counts.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    counts.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
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


def group_word(groups: LabelGroups) -> str:
    return "label value" if groups.by_value else f"group of labels ({len(groups.rows)} quantiles)"


def name_label_axis(axes: Axes, canvas: Canvas, groups: LabelGroups) -> None:
    axes.set_xlabel(f"actual {canvas.task} (label units)")
    if groups.by_value:
        axes.set_xticks(groups.centre, [f"{value:g}" for value in groups.centre])


def new_figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE, layout="constrained")
    return figure, figure.subplots()


def unit_square(axes: Axes) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)


def add_legend(figure: Figure, axes: Axes) -> None:
    """Above the axes, where it hides no data."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=math.ceil(len(labels) / math.ceil(len(labels) / 3)),
        handlelength=2.2,
        columnspacing=1.4,
        borderpad=0,
    )
