"""The report's figures of one task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from matplotlib.ticker import MaxNLocator

from mtl_pipeline.evaluation.report.figures.canvas import Canvas, ReportFigure, add_legend, new_figure
from mtl_pipeline.evaluation.report.figures.class_figures import class_figures
from mtl_pipeline.evaluation.report.figures.palette import DASHED, DOTTED, LIGHT
from mtl_pipeline.evaluation.report.figures.value_figures import event_figures, number_figures
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import before_calibration, model_names, task_rows
from mtl_pipeline.spec import Task

FIGURES = {
    "event": event_figures,
    "number": number_figures,
    "count": number_figures,
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
`gradient_cosine/<task>~<other task>` of tasks that still learn."""


def task_figures(
    predictions: pl.DataFrame, task: Task, candidate: str, training_log: TrainingLog
) -> list[ReportFigure]:
    """Every figure of one task on its test rows."""
    models = model_names(predictions, task.name, candidate)
    canvas = Canvas(task, candidate, models, before_calibration(predictions, task.name, candidate, "test"))
    rows = task_rows(predictions, task.name, models, "test")
    drawn = FIGURES[KINDS[task.kind].drawn_as](canvas, rows) if len(rows.labels) else []
    return [*drawn, *training_curves(canvas, training_log)]


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
        "A validation loss that rises while the train loss falls is overfitting."
    )
    return [ReportFigure("Training curves", caption, figure)]
