"""The figures of a backtest: its windows, and of each task the scores and the differences from window to window."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from mtl_pipeline.evaluation.report.figures.canvas import SIZE, STYLE, ReportFigure, add_legend, new_figure
from mtl_pipeline.evaluation.report.figures.palette import DASHES, LIGHT, colour_names
from mtl_pipeline.evaluation.report.figures.svg import to_svg
from mtl_pipeline.evaluation.studies.backtest import BEST_BASELINE, BacktestResult
from mtl_pipeline.evaluation.studies.scoring import CANDIDATE
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import CEILING, CONSTANT, SINGLE_TASK
from mtl_pipeline.spec import Task

PARTS = {"train": "baseline-0", "validation": "baseline-1", "test": "accent"}
MARKERS = {SINGLE_TASK: ("o", "accent"), BEST_BASELINE: ("D", "baseline-1")}
MOST_UPRIGHT = 4
"""With more windows their dates are written aslant."""


def windows_figure(page: BacktestResult) -> ReportFigure:
    """What trained, validated and tested in each window: over time, or around the circle of the hash."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(SIZE[0], 1.3 + 0.3 * page.windows.height), layout="constrained")
        axes = figure.subplots()
        for row in page.windows.iter_rows(named=True):
            for split, colour in PARTS.items():
                axes.broken_barh(
                    spans(page, row, split), (-row["window"] - 0.36, 0.72), color=LIGHT[colour], linewidth=0
                )
        axes.set_yticks([-row for row in page.windows["window"]], page.window_names)
        axes.set_ylabel("fold" if page.folded else "window")
        axes.grid(visible=False, axis="y")
        if page.folded:
            axes.set_xlim(0, 1)
            axes.xaxis.set_major_formatter(PercentFormatter(1))
            axes.set_xlabel(f"place by the hash of {', '.join(page.hash_by)} (share of its range)")
        else:
            locator = AutoDateLocator(minticks=3, maxticks=6)
            axes.xaxis_date()
            axes.xaxis.set_major_locator(locator)
            axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
            axes.set_xlabel("time of the interaction (date)")
        figure.legend(
            handles=[Patch(color=LIGHT[colour], label=split) for split, colour in PARTS.items()],
            loc="outside upper left",
            ncols=3,
            borderpad=0,
        )
        title = "Folds" if page.folded else "Windows"
        caption = (
            "Which rows train, validate and test in each fold, by where their hash lies; whole groups share a place."
            if page.folded
            else "When the rows that train, validate and test in each window happened. Windows have equally many test "
            "rows, so where more happens they are shorter."
        )
        return ReportFigure(title, caption, to_svg(figure, "figure-windows", f"{title}. {caption}"))


def spans(page: BacktestResult, row: dict, split: str) -> list[tuple[float, float]]:
    """(start, width) of the bars."""
    if not page.folded:
        start, end = (float(date2num(row[f"{split}_{side}"])) for side in ("start", "end"))
        return [(start, end - start)]
    folds = page.windows.height
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


def task_figures(page: BacktestResult, task: Task, position: int) -> list[ReportFigure]:
    """Nothing where no window has a score."""
    identifier = f"figure-{position}"
    with matplotlib.rc_context(STYLE):
        return [
            figure
            for figure in (scores_figure(page, task, identifier), differences_figure(page, task, identifier))
            if figure is not None
        ]


def scores_figure(page: BacktestResult, task: Task, identifier: str) -> ReportFigure | None:
    """The headline metric of each model against the windows."""
    shown = KINDS[task.kind].headline
    scores = page.scores.metrics.filter(
        pl.col("task") == task.name, pl.col("metric") == shown.name, pl.col("split") == "test"
    )
    models = scores["model"].unique(maintain_order=True).to_list()
    colours = colour_names(models, CANDIDATE)
    drawn = [model for model in models if model != CONSTANT] if len(models) > 2 else models
    if not scores.filter(pl.col("value").is_finite()).height:
        return None
    figure, axes = new_figure()
    for place, model in enumerate(models):
        if model not in drawn:
            continue
        rows = scores.filter(pl.col("model") == model).sort("window")
        ours = model == CANDIDATE
        axes.plot(
            rows["window"].to_numpy(),
            rows["value"].to_numpy(),
            color=LIGHT[colours[model]],
            linestyle="solid" if model in (CANDIDATE, CEILING) else DASHES[place % len(DASHES)],
            linewidth=2.2 if ours else 1.4,
            marker="o",
            markersize=5 if ours else 3.5,
            zorder=4 if ours else 3,
            label=model,
        )
    name_windows(axes, page)
    axes.set_ylabel(f"{shown.label} ({'higher' if shown.higher_is_better else 'lower'} is better)")
    add_legend(figure, axes)
    title = f"{shown.label} by {page.unit}"
    caption = (
        f"{shown.label} of each model on the test rows of each {page.unit}. Lines join what each {page.unit} gave; "
        f"how hard the rows of a {page.unit} are moves all models alike."
        + ("" if len(drawn) == len(models) else f" {CONSTANT} is left out for scale; the table has it.")
    )
    return finish(figure, f"{identifier}-scores", task, title, caption)


def differences_figure(page: BacktestResult, task: Task, identifier: str) -> ReportFigure | None:
    """The candidate minus single_task and minus the best baseline, of each window and of their mean."""
    shown = KINDS[task.kind].headline
    lines = page.scores.comparisons.filter(
        pl.col("task") == task.name, pl.col("metric") == shown.name, pl.col("difference").is_finite()
    )
    pooled = page.pooled.filter(pl.col("task") == task.name, pl.col("metric") == shown.name)
    sides = {
        SINGLE_TASK: lines.filter(pl.col("baseline") == SINGLE_TASK),
        BEST_BASELINE: lines.filter("best_baseline"),
    }
    sides = {baseline: rows for baseline, rows in sides.items() if rows.height}
    if not sides:
        return None
    figure, axes = new_figure()
    axes.axhline(0, color=LIGHT["ink"], linewidth=0.8)
    mean_place = page.windows.height + 1
    axes.axvspan(mean_place - 0.5, mean_place + 0.5, color=LIGHT["panel"], zorder=0)
    for place, (baseline, rows) in enumerate(sides.items()):
        shift = (place - (len(sides) - 1) / 2) * 0.24
        marker, colour = MARKERS[baseline]
        mean = pooled.filter(pl.col("baseline") == baseline).row(0, named=True)
        points = [
            *((row["window"], row) for row in rows.iter_rows(named=True)),
            *([(mean_place, mean)] if math.isfinite(mean["difference"]) else []),
        ]
        middle = np.array([row["difference"] for _, row in points])
        ends = np.array([[row["low"], row["high"]] for _, row in points])
        axes.errorbar(
            [at + shift for at, _ in points],
            middle,
            yerr=np.maximum(np.nan_to_num([middle - ends[:, 0], ends[:, 1] - middle]), 0),
            fmt=marker,
            markersize=5,
            color=LIGHT[colour],
            label=f"against {baseline}",
        )
    name_windows(axes, page, also=["mean"])
    axes.set_ylabel(f"{shown.label}, {CANDIDATE} minus baseline")
    add_legend(figure, axes)
    better = "above" if shown.higher_is_better else "below"
    title = f"Difference by {page.unit}"
    caption = (
        f"Difference in {shown.label} with its 95 % interval in each {page.unit}, and of their mean; {better} zero "
        f"{CANDIDATE} is better."
    )
    return finish(figure, f"{identifier}-differences", task, title, caption)


def name_windows(axes: Axes, page: BacktestResult, also: Sequence[str] = ()) -> None:
    """A tick for each window, with the day its test begins."""
    names = [*page.window_ticks, *also]
    aslant = len(names) > MOST_UPRIGHT + 1
    axes.set_xticks(
        range(1, len(names) + 1), names, rotation=35 if aslant else 0, ha="right" if aslant else "center"
    )
    axes.set_xlim(0.5, len(names) + 0.5)
    axes.set_xlabel("fold" if page.folded else "window, by the first day of its test rows")


def finish(figure: Figure, identifier: str, task: Task, title: str, caption: str) -> ReportFigure:
    return ReportFigure(title, caption, to_svg(figure, identifier, f"{task.name}: {title}. {caption}"))
