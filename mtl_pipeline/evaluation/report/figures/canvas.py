"""What figures share: one style sheet, their size, lines by model, and the way onto a page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from mtl_pipeline.evaluation.report.figures.palette import DASHES, LIGHT, colour_names
from mtl_pipeline.evaluation.report.figures.svg import to_svg
from mtl_pipeline.predictions import CEILING
from mtl_pipeline.spec import Task

WIDTH, HEIGHT = 4.6, 3.9
"""Inches; on the page a figure takes the width it is given."""
LONGEST_NAME = 30
"""Characters of a name beside an axis; the tables have all of it."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,  # a $ in a name is a $, not a formula
    "font.size": 9.5,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": LIGHT["ink"],
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
    "legend.fontsize": 9,
    "lines.linewidth": 1.4,
}
BARS: dict[str, Any] = {"color": LIGHT["accent"], "alpha": 0.55, "linewidth": 0}
"""Of a strip that counts rows."""
INTERVALS: tuple[dict[str, Any], ...] = (
    {"fmt": "o", "color": LIGHT["accent"]},
    {"fmt": "D", "color": LIGHT["baseline-1"]},
)
"""Of differences from the first and the second baseline of a figure."""


@dataclass(frozen=True)
class ReportFigure:
    title: str
    caption: str
    figure: Figure

    def svg(self, identifier: str) -> str:
        """`identifier` is unique on the page, and safe in an id."""
        with matplotlib.rc_context(STYLE | {"svg.hashsalt": identifier}):
            return to_svg(self.figure, identifier, f"{self.title}. {self.caption}")


@dataclass(frozen=True)
class Canvas:
    """What every figure of one task needs to know."""

    task: Task
    candidate: str
    models: list[str]
    before: tuple[np.ndarray, np.ndarray] | None = None
    """Labels, and what the candidate predicted before it was calibrated, (rows,) each; None where that is the
    same as after."""

    def colour(self, model: str) -> str:
        return LIGHT[colour_names(self.models, self.candidate)[model]]

    def line_style(self, model: str) -> dict[str, Any]:
        ours, place = model == self.candidate, self.models.index(model)
        return {
            "color": self.colour(model),
            "linestyle": "solid" if model in (self.candidate, CEILING) else DASHES[place % len(DASHES)],
            "linewidth": 2.2 if ours else 1.4,
            "zorder": 4 if ours else 3,
            "label": model,
        }


def new_figure(height: float = HEIGHT, rows: int = 1, columns: int = 1, **more: Any) -> tuple[Figure, Any]:
    """A figure and its axes, or an array of the axes of its panels, which share their x axis."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, columns, sharex=True, **more)


def two_panels() -> tuple[Figure, Axes, Axes]:
    """A figure with a low strip below, which counts rows and shares its x axis."""
    figure, (axes, strip) = new_figure(rows=2, height_ratios=[3.2, 1])
    strip.set_ylabel("rows")
    strip.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    strip.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    return figure, axes, strip


def add_legend(figure: Figure, axes: Axes) -> None:
    """Above the axes, where it hides no data, instead of the one that is there."""
    handles, labels = axes.get_legend_handles_labels()
    if legend := axes.get_legend():
        legend.remove()
    figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=math.ceil(len(labels) / math.ceil(len(labels) / 3)),
        frameon=False,
        handlelength=2.2,
        columnspacing=1.4,
        borderpad=0,
    )


def show_dates(axes: Axes) -> None:
    locator = AutoDateLocator(minticks=3, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))


def draw_intervals(
    axes: Axes, places: list[float], rows: pl.DataFrame, *, across: bool, style: int, label: str
) -> None:
    """Dots with their intervals, along x where `across`, else along y; `rows` has difference, low, high."""
    difference, low, high = rows.select("difference", "low", "high").cast(pl.Float64).to_numpy().T
    reach = np.maximum(np.nan_to_num([difference - low, high - difference]), 0)
    dots = (
        {"x": difference, "y": places, "xerr": reach}
        if across
        else {"x": places, "y": difference, "yerr": reach}
    )
    axes.errorbar(**dots, markersize=4.5, label=label, **INTERVALS[style])
