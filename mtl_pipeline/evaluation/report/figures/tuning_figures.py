"""The figure of a search for settings: how low it had come after each trial."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from mtl_pipeline.evaluation.report.figures.canvas import STYLE, ReportFigure, add_legend, new_figure
from mtl_pipeline.evaluation.report.figures.palette import DASHES, DOTTED, LIGHT
from mtl_pipeline.evaluation.report.figures.svg import to_svg

MARKERS = "os^Dvp"
HEADROOM = 3.0
"""Scores are shown up to so many times the distance from the lowest to the median; higher ones at the upper edge."""

TITLE = "Lowest score so far"
CAPTION = (
    "Lower is better; 1 is a constant answer. Lines: the lowest score among the complete trials so far. Filled marks: "
    "complete trials; hollow marks: what a pruned trial had come to. A mark at the upper edge lies above it; a "
    "diverged trial has none."
)


def search_figure(trials: pl.DataFrame, colours: Mapping[str, str]) -> ReportFigure:
    """`trials`: columns architecture, trial, state, present, score. `colours`: architecture → colour name."""
    limit = upper_edge(trials)
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure()
        for place, (architecture, colour) in enumerate(colours.items()):
            draw_architecture(axes, trials.filter(architecture=architecture), LIGHT[colour], place, limit)
        present = trials.filter("present", state="complete")["score"].to_list()
        if present and present[0] <= limit:
            axes.axhline(present[0], color=LIGHT["ink"], linewidth=0.9, linestyle=DOTTED, label="present")
        axes.set_ylim(top=limit)
        axes.set_xlabel("trial of the architecture (number)")
        axes.set_ylabel("validation score (loss / loss of a constant)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        add_legend(figure, axes)
        return ReportFigure(TITLE, CAPTION, to_svg(figure, "figure-search", f"{TITLE}. {CAPTION}"))


def upper_edge(trials: pl.DataFrame) -> float:
    """A score above which a trial only squeezes the others together."""
    scores = trials.drop_nulls("score")["score"].to_numpy()
    lowest, median, highest = scores.min(), np.median(scores), scores.max()
    room = max(HEADROOM * (median - lowest), 0.01 * abs(lowest))
    return float(min(highest, lowest + room) + 0.05 * room)


def draw_architecture(axes: Axes, trials: pl.DataFrame, colour: str, place: int, limit: float) -> None:
    complete = trials.filter(state="complete")
    marker = MARKERS[place % len(MARKERS)]
    for frame, filled in ((complete, colour), (trials.filter(state="pruned").drop_nulls("score"), "none")):
        axes.plot(
            frame["trial"].to_list(),
            frame["score"].clip(upper_bound=limit).to_list(),
            linestyle="none",
            marker=marker,
            markersize=5,
            markerfacecolor=filled,
            markeredgecolor=colour,
            clip_on=False,
            zorder=3,
        )
    lowest = list(accumulate(complete["score"].to_list(), min))
    axes.plot(
        [*complete["trial"].to_list(), *trials["trial"].tail(1).to_list()],
        [*lowest, *lowest[-1:]] if lowest else [np.nan],
        color=colour,
        linestyle="solid" if place == 0 else DASHES[(place - 1) % len(DASHES)],
        linewidth=2.0,
        drawstyle="steps-post",
        marker=marker,
        markevery=[],
        label=trials["architecture"].first(),
    )
