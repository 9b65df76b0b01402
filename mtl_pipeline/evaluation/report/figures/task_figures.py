"""The report's figures of one task. Each function that draws one returns it with the sentence that says how to
read it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import polars as pl
from matplotlib.ticker import MaxNLocator

from mtl_pipeline.evaluation.report.figures.binary_figures import binary_figures
from mtl_pipeline.evaluation.report.figures.canvas import STYLE, Canvas, ReportFigure, add_legend, new_figure
from mtl_pipeline.evaluation.report.figures.class_figures import class_figures
from mtl_pipeline.evaluation.report.figures.number_figures import count_figures, regression_figures
from mtl_pipeline.evaluation.report.figures.palette import DASHED, DASHES, DOTTED, LIGHT, colour_names
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import CEILING, before_calibration, model_names, task_rows
from mtl_pipeline.spec import Task

FIGURES = {
    "event": binary_figures,
    "number": regression_figures,
    "count": count_figures,
    "classes": class_figures,
}
"""By what a kind of task is `drawn_as`."""
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
`gradient_cosine/<task>~<other task>` of tasks that still learn (see `conflict_report`)."""


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
        task=task,
        candidate=candidate,
        colours={model: LIGHT[name] for model, name in colours.items()},
        dashes={
            model: "solid" if model in (candidate, CEILING) else DASHES[place % len(DASHES)]
            for place, model in enumerate(models)
        },
        before=before_calibration(predictions, task.name, candidate, "test"),
        identifier=f"figure-{position}-{re.sub('[^a-z0-9]+', '-', task.name.lower()).strip('-')}",
    )
    rows = task_rows(predictions, task.name, models, "test")
    with matplotlib.rc_context(STYLE):
        training = training_curves(canvas, training_log, chosen_epoch)
        measured = FIGURES[KINDS[task.kind].drawn_as](canvas, rows) if len(rows.labels) else []
    return ([training] if training else []) + measured


def training_curves(
    canvas: Canvas, training_log: TrainingLog, chosen_epoch: float | None
) -> ReportFigure | None:
    """None when the log holds no losses of this task."""
    validation_key, train_key = f"validation_loss/{canvas.task.name}", f"train_loss/{canvas.task.name}"
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
    axes.set_ylabel(LOSS_UNITS[canvas.task.loss_name])
    axes.xaxis.set_major_locator(MaxNLocator(integer=max(epochs) >= 2, nbins=8))
    add_legend(figure, axes)
    caption = (
        f"Loss of {canvas.candidate} on this task while training, after each validation round and before calibration. "
        "A validation loss that rises while the train loss falls is overfitting."
    )
    return canvas.finish(figure, "training", "Training curves", caption)
