"""Whether the tasks pull together: the cosine between their gradients over training."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from mtl_pipeline.evaluation.formatting import format_signed
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Section
from mtl_pipeline.evaluation.report.figures.canvas import ReportFigure, new_figure
from mtl_pipeline.evaluation.report.figures.palette import LIGHT
from mtl_pipeline.evaluation.report.figures.task_figures import TrainingLog
from mtl_pipeline.evaluation.studies.scoring import Evaluation

PREFIX = "gradient_cosine/"
MOST_IN_ONE_COLUMN = 4
SMALLEST_RANGE = 0.2
"""The axis reaches at least so far from zero: what is smaller is next to nothing."""

Pairs = dict[str, tuple[np.ndarray, np.ndarray]]
"""'watched ~ liked' → epochs, cosines."""

HOW_TO_READ = (
    "Cosine near 1: the tasks want the same change of what they share. Near 0: they neither help nor hinder each "
    "other. Below 0: what one learns, the other has to unlearn. Tasks with few observed rows have noisy gradients, "
    "which draws the cosine towards 0."
)


def sections(evaluation: Evaluation, context: ReportContext) -> list[Section]:
    """Nothing where nothing was measured, as with one task."""
    pairs = cosines_by_pair(context.training_log)
    if not pairs:
        return []
    figure = Section("Over training", [HOW_TO_READ], figures=[conflict_figure(pairs)])
    return [Section("Task conflict", points=conflict_sentences(pairs), details=[figure])]


def cosines_by_pair(training_log: TrainingLog) -> Pairs:
    keys = dict.fromkeys(key for entry in training_log for key in entry if key.startswith(PREFIX))
    measured = {key: [(entry["epoch"], entry[key]) for entry in training_log if key in entry] for key in keys}
    return {
        key.removeprefix(PREFIX).replace("~", " ~ "): tuple(np.array(points).T)
        for key, points in measured.items()
    }


def conflict_sentences(pairs: Pairs) -> list[str]:
    """'watched ~ liked: +0.04 on average, below zero in 5 of 12 rounds'"""
    return [
        f"{pair}: {format_signed(round(float(cosines.mean()), 2), 2)} on average, "
        f"below zero in {(cosines < 0).sum()} of {len(cosines)} rounds"
        for pair, (_, cosines) in pairs.items()
    ]


def conflict_figure(pairs: Pairs) -> ReportFigure:
    """A panel for each pair."""
    columns = 1 if len(pairs) <= MOST_IN_ONE_COLUMN else 2
    rows = math.ceil(len(pairs) / columns)
    figure, grid = new_figure(0.9 + 1.2 * rows, rows, columns, sharey=True, squeeze=False)
    panels = grid.ravel()
    for axes, (pair, (epochs, cosines)) in zip(panels, pairs.items(), strict=False):
        draw_pair(axes, pair, epochs, cosines)
    for axes in panels[len(pairs) :]:
        axes.set_visible(False)
    longest = max(epochs.max() for epochs, _ in pairs.values())
    far = max(SMALLEST_RANGE, *(float(np.abs(cosines).max()) for _, cosines in pairs.values()))
    panels[0].set_ylim(-1.1 * far, 1.1 * far)
    panels[0].xaxis.set_major_locator(MaxNLocator(nbins=6, integer=longest >= 2))
    muted = {"fontsize": 9.5, "color": LIGHT["muted"]}
    figure.supxlabel("epoch (passes over the training rows)", **muted)
    figure.supylabel("cosine of the two gradients (−1 to 1)", **muted)
    caption = (
        "After each validation round, the cosine between the gradients of two tasks' losses with respect to all "
        "parameters that both move, on a fixed sample of training rows. Above zero, a step for one task helps the "
        "other; below zero (marked), it hurts it; close to zero it is mostly chance. A line ends where one of its "
        "tasks is frozen at its best round."
    )
    return ReportFigure("Do the tasks pull together?", caption, figure)


def draw_pair(axes: Axes, pair: str, epochs: np.ndarray, cosines: np.ndarray) -> None:
    below, worse = cosines < 0, LIGHT["worse"]
    axes.axhline(0, color=LIGHT["ink"], linewidth=0.8)
    axes.fill_between(epochs, cosines, 0, where=below, interpolate=True, color=worse, alpha=0.25, linewidth=0)
    axes.plot(epochs, cosines, color=LIGHT["accent"], marker=".", linewidth=1.6)
    axes.plot(epochs[below], cosines[below], color=worse, marker="v", markersize=4.5, linestyle="none")
    axes.set_title(pair)
