"""The figures of a backtest: its windows, and of each task the scores and the differences from window to window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from mtl_pipeline.evaluation.report.figures.canvas import (
    Canvas,
    ReportFigure,
    add_legend,
    draw_intervals,
    new_figure,
    show_dates,
)
from mtl_pipeline.evaluation.report.figures.palette import LIGHT
from mtl_pipeline.evaluation.studies.runs.backtest import BEST_BASELINE, BacktestResult
from mtl_pipeline.evaluation.studies.scoring import in_headline
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import CANDIDATE, CONSTANT, SINGLE_TASK
from mtl_pipeline.spec import Task

PARTS = {"train": "baseline-0", "validation": "baseline-1", "test": "accent"}
MOST_UPRIGHT = 4
"""With more windows the dates are slanted."""


def windows_figure(result: BacktestResult) -> ReportFigure:
    """What trained, validated and tested in each window: over time, or around the circle of the hash."""
    figure, axes = new_figure(1.3 + 0.3 * result.windows.height)
    for row in result.windows.iter_rows(named=True):
        for split, colour in PARTS.items():
            bars = spans(result, row, split)
            axes.broken_barh(bars, (-row["window"] - 0.36, 0.72), color=LIGHT[colour], linewidth=0)
    axes.set_yticks([-row for row in result.windows["window"]], result.window_names)
    axes.set_ylabel(result.unit)
    axes.grid(visible=False, axis="y")
    if result.folded:
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.set_xlabel(f"place by the hash of {', '.join(result.hash_by)} (share of its range)")
    else:
        show_dates(axes)
        axes.set_xlabel("time of the interaction (date)")
    handles = [Patch(color=LIGHT[colour], label=split) for split, colour in PARTS.items()]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, borderpad=0)
    caption = (
        "Which rows train, validate and test in each fold, by where their hash lies; whole groups share a place."
        if result.folded
        else "When the rows that train, validate and test in each window happened. Windows have equally many test "
        "rows, so where more happens they are shorter."
    )
    return ReportFigure(f"{result.unit}s".capitalize(), caption, figure)


def spans(result: BacktestResult, row: dict, split: str) -> list[tuple[float, float]]:
    """(start, width) of the bars."""
    if not result.folded:
        start, end = (float(date2num(row[f"{split}_{side}"])) for side in ("start", "end"))
        return [(start, end - start)]
    folds = result.windows.height
    rows = {part: row[f"{part}_rows"] for part in PARTS}
    known = (1 - 1 / folds) / (rows["train"] + rows["validation"])
    end = row["window"] / folds
    places = {
        "train": (end, rows["train"] * known),
        "validation": (end + rows["train"] * known, rows["validation"] * known),
        "test": (end - 1 / folds, 1 / folds),
    }
    start, width = places[split]
    start %= 1
    return [(start, min(width, 1 - start)), *([(0.0, start + width - 1)] if start + width > 1 else [])]


def task_figures(result: BacktestResult, task: Task) -> list[ReportFigure]:
    """Nothing where no window has a score."""
    figures = [scores_figure(result, task), differences_figure(result, task)]
    return [figure for figure in figures if figure]


def scores_figure(result: BacktestResult, task: Task) -> ReportFigure | None:
    """The headline metric of each model against the windows."""
    shown = KINDS[task.kind].headline
    scores = in_headline(result.scores.metrics, task).filter(split="test")
    if not scores["value"].is_finite().any():
        return None
    models = scores["model"].unique(maintain_order=True).to_list()
    canvas = Canvas(task, CANDIDATE, models)
    drawn = [model for model in models if model != CONSTANT] if len(models) > 2 else models
    figure, axes = new_figure()
    for model in drawn:
        rows = scores.filter(model=model).sort("window")
        style = canvas.line_style(model) | {"marker": "o", "markersize": 4}
        axes.plot(rows["window"].to_numpy(), rows["value"].to_numpy(), **style)
    name_windows(axes, result)
    axes.set_ylabel(f"{shown.label} ({'higher' if shown.higher_is_better else 'lower'} is better)")
    add_legend(figure, axes)
    caption = (
        f"{shown.label} of each model on the test rows of each {result.unit}. Lines join what each {result.unit} gave; "
        f"how hard the rows of a {result.unit} are moves all models alike."
        + ("" if len(drawn) == len(models) else f" {CONSTANT} is left out for scale; the table has it.")
    )
    return ReportFigure(f"{shown.label} by {result.unit}", caption, figure)


def differences_figure(result: BacktestResult, task: Task) -> ReportFigure | None:
    """The candidate minus single_task and minus the best baseline, of each window and of their mean."""
    shown, windows = KINDS[task.kind].headline, result.windows.height
    lines, means = (
        in_headline(frame, task).filter(pl.col("difference").is_finite())
        for frame in (result.scores.comparisons, result.pooled)
    )
    means = means.with_columns(window=pl.lit(windows + 1, pl.Int64))
    sides = {SINGLE_TASK: lines.filter(baseline=SINGLE_TASK), BEST_BASELINE: lines.filter("best_baseline")}
    sides = {baseline: rows for baseline, rows in sides.items() if rows.height}
    if not sides:
        return None
    figure, axes = new_figure()
    axes.axhline(0, color=LIGHT["ink"], linewidth=0.8)
    axes.axvspan(windows + 0.5, windows + 1.5, color=LIGHT["panel"], zorder=0)
    for place, (baseline, rows) in enumerate(sides.items()):
        shift = (place - (len(sides) - 1) / 2) * 0.24
        columns = ["window", "difference", "low", "high"]
        points = pl.concat([rows.select(columns), means.filter(baseline=baseline).select(columns)])
        places = [window + shift for window in points["window"]]
        style = (SINGLE_TASK, BEST_BASELINE).index(baseline)
        draw_intervals(axes, places, points, across=False, style=style, label=f"against {baseline}")
    name_windows(axes, result, also=["mean"])
    axes.set_ylabel(f"{shown.label}, {CANDIDATE} minus baseline")
    add_legend(figure, axes)
    better = "above" if shown.higher_is_better else "below"
    caption = (
        f"Difference in {shown.label} with its 95 % interval in each {result.unit}, and of their mean; {better} zero "
        f"{CANDIDATE} is better."
    )
    return ReportFigure(f"Difference by {result.unit}", caption, figure)


def name_windows(axes: Axes, result: BacktestResult, also: Sequence[str] = ()) -> None:
    """A tick for each window, with the day its test begins."""
    names = [*result.window_ticks, *also]
    slant: dict[str, Any] = {"rotation": 35, "ha": "right"} if len(names) > MOST_UPRIGHT + 1 else {}
    axes.set_xticks(range(1, len(names) + 1), names, **slant)
    axes.set_xlim(0.5, len(names) + 0.5)
    axes.set_xlabel("fold" if result.folded else "window, by the first day of its test rows")
