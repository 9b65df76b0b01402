"""What the figures of one task share: size, style, lines by model, and the way onto the page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from mtl_pipeline.evaluation.report.figures.palette import LIGHT
from mtl_pipeline.evaluation.report.figures.svg import SETTINGS, to_svg
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


@dataclass(frozen=True)
class ReportFigure:
    title: str
    caption: str
    svg: str


@dataclass(frozen=True)
class Canvas:
    """What every figure of one task needs to know."""

    task: Task
    candidate: str
    colours: Mapping[str, str]
    """Model → colour."""
    dashes: Mapping[str, Any]
    identifier: str
    """Unique on the page, safe in an id."""
    before: tuple[np.ndarray, np.ndarray] | None = None
    """Labels, and what the candidate predicted before it was calibrated, (rows,) each; None where that is the
    same as after."""

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
        return ReportFigure(
            title, caption, to_svg(figure, identifier, f"{self.task.name}: {title}. {caption}")
        )


def new_figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE, layout="constrained")
    return figure, figure.subplots()


def two_panels() -> tuple[Figure, Axes, Axes]:
    """A figure with a low strip below that shares its x axis."""
    figure = Figure(figsize=SIZE, layout="constrained")
    axes, strip = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
    return figure, axes, strip


def count_rows(strip: Axes) -> None:
    """Name and number the y axis of a strip that counts rows."""
    strip.set_ylabel("rows")
    strip.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    strip.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def rows_per_bin(rows: np.ndarray) -> str:
    return f"{rows.min():,}" if rows.min() == rows.max() else f"{rows.min():,} to {rows.max():,}"


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
