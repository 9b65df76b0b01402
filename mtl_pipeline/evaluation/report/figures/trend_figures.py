"""The figures of the past evaluations. Each function that draws some returns them with how to read them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from mtl_pipeline.evaluation.metrics.task_metrics import Metric, headline
from mtl_pipeline.evaluation.report.figures.canvas import SIZE, STYLE, ReportFigure, add_legend, new_figure
from mtl_pipeline.evaluation.report.figures.palette import DASHES, LIGHT
from mtl_pipeline.evaluation.report.figures.svg import to_svg
from mtl_pipeline.evaluation.studies.history import Record
from mtl_pipeline.predictions import CHAMPION, SINGLE_TASK

BASELINES = {
    SINGLE_TASK: "baseline-2",
    CHAMPION: "baseline-3",
    "linear": "baseline-1",
    "constant": "baseline-0",
}
"""Who may be drawn, with their colours, the most telling first. Of the others the report has the newest numbers."""
MOST_COMPARED = 2
MOST_MARKERS = 60
ALONE = np.timedelta64(1, "D")
"""What is shown to both sides of a single run."""


def readable_time(iso: str) -> str:
    return iso[:16].replace("T", " ")


def trend_figures(
    records: Sequence[Record], task: str, kind: str, position: int, rollbacks: Sequence[str]
) -> list[ReportFigure]:
    """Scores, and differences with their intervals. `position` is the task's place on the page."""
    with matplotlib.rc_context(STYLE):
        figures = [
            score_figure(records, task, headline(kind), f"trend-{position}-scores", rollbacks),
            difference_figure(records, task, headline(kind), f"trend-{position}-differences"),
        ]
    return [figure for figure in figures if figure]


def score_figure(
    records: Sequence[Record], task: str, metric: Metric, identifier: str, rollbacks: Sequence[str]
) -> ReportFigure:
    candidate, times = records[-1].candidate, run_times(records)
    figure, axes = new_figure()
    for place, model in enumerate(drawn_models(records, task, metric)):
        values = [value_of(record, task, model, metric.name) for record in records]
        axes.plot(times, values, **line_style(model, candidate, place), **markers(records))
    mark_promotions(axes, records, task, metric)
    for place, time in enumerate(rollbacks):
        axes.axvline(
            as_time(time),  # type: ignore[arg-type]
            color=LIGHT["worse"],
            linestyle=DASHES[1],
            linewidth=1.2,
            label="rolled back" if place == 0 else None,
        )
    finish_axes(axes, records, metric.label)
    add_legend(figure, axes)
    better = "higher" if metric.higher_is_better else "lower"
    return drawn(
        figure,
        identifier,
        f"{metric.label} from run to run",
        f"On the test rows of each run; {better} is better. Each run may have test rows of its own, so hold the lines "
        "against each other rather than one line against its past. A champion may have been trained on some of the "
        "rows.",
    )


def drawn_models(records: Sequence[Record], task: str, metric: Metric) -> list[str]:
    """The candidate, the champion, single_task, and linear or else constant, as far as they were ever measured.
    The ROC-AUC of a constant is one half whatever the data."""

    def measured(model: str) -> bool:
        return any(not math.isnan(value_of(record, task, model, metric.name)) for record in records)

    simple = [model for model in ("linear", "constant") if measured(model)][:1]
    others = [model for model in (CHAMPION, SINGLE_TASK) if measured(model)]
    uninformed = metric.name == "roc_auc" and simple == ["constant"]
    return [records[-1].candidate, *others, *([] if uninformed else simple)]


def mark_promotions(axes: Axes, records: Sequence[Record], task: str, metric: Metric) -> None:
    promoted = [record for record in records if record.promoted]
    if promoted:
        axes.plot(
            run_times(promoted),
            [value_of(record, task, record.candidate, metric.name) for record in promoted],
            linestyle="none",
            marker="^",
            markersize=9,
            markerfacecolor="none",
            markeredgecolor=LIGHT["ink"],
            label="promoted",
            zorder=5,
        )


def difference_figure(
    records: Sequence[Record], task: str, metric: Metric, identifier: str
) -> ReportFigure | None:
    """A panel for each model that is compared with; None where there is none."""
    compared = {model: ends for model in BASELINES if any(ends := ends_of(records, task, model, metric))}
    if not compared:
        return None
    shown = list(compared)[:MOST_COMPARED]
    candidate = records[-1].candidate
    figure = Figure(figsize=SIZE, layout="constrained")
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for axes, model in zip(panels, shown, strict=True):
        known = [
            (time, *ends) for time, ends in zip(run_times(records), compared[model], strict=True) if ends
        ]
        times, middle, low, high = (list(column) for column in zip(*known, strict=True))
        axes.axhline(0, color=LIGHT["ink"], linewidth=0.8)
        axes.vlines(times, low, high, color=LIGHT[BASELINES[model]], linewidth=1.4)
        axes.plot(times, middle, linestyle="none", marker="o", markersize=4, color=LIGHT[BASELINES[model]])
        finish_axes(axes, records, f"minus {model}")
    for axes in panels[:-1]:
        axes.set_xlabel("")
    side = "above" if metric.higher_is_better else "below"
    return drawn(
        figure,
        identifier,
        f"{candidate} minus {' and '.join(shown)}: {metric.label}",
        f"Differences on the same test rows, with 95 % intervals; {side} zero {candidate} is better. Where an interval "
        "holds zero no difference is shown. Of many runs without any true difference about one in twenty still "
        "excludes zero.",
    )


def data_figures(records: Sequence[Record], kinds: Mapping[str, str]) -> list[ReportFigure]:
    """Rows, labels and rejected rows from run to run."""
    with matplotlib.rc_context(STYLE):
        figures = [rows_figure(records)]
        shares = [task for task, kind in kinds.items() if kind == "binary"]
        if shares:
            figures.append(
                labels_figure(
                    records, shares, "trend-shares", "Positives on the test rows", "share of observed labels"
                )
            )
        figures += [
            labels_figure(
                records,
                [task],
                f"trend-mean-{place}",
                f"Mean of {task} on the test rows",
                "mean label" if kind == "regression" else "mean count",
            )
            for place, (task, kind) in enumerate(kinds.items())
            if kind in ("regression", "count")
        ]
        return [*figures, rejected_figure(records)]


def rows_figure(records: Sequence[Record]) -> ReportFigure:
    splits = list(dict.fromkeys(split for record in records for split in record.rows))
    figure, axes = line_figure(
        records, {split: [record.rows.get(split, math.nan) for record in records] for split in splits}
    )
    count_from_zero(axes, records)
    return drawn(figure, "trend-rows", "Rows by split", "Examples of each run, by split.")


def labels_figure(
    records: Sequence[Record], tasks: Sequence[str], identifier: str, title: str, unit: str
) -> ReportFigure:
    figure, axes = line_figure(
        records,
        {
            task: [math.nan if (mean := record.label_means.get(task)) is None else mean for record in records]
            for task in tasks
        },
    )
    finish_axes(axes, records, unit)
    return drawn(
        figure,
        identifier,
        title,
        "Over the rows where the label was observed. A jump is a change in the data or in how they are collected, "
        "and moves the scores of every model.",
    )


def rejected_figure(records: Sequence[Record]) -> ReportFigure:
    rejected = [float(sum(record.rejected_rows.values())) for record in records]
    figure, axes = line_figure(records, {"rejected rows": rejected})
    count_from_zero(axes, records)
    return drawn(
        figure,
        "trend-rejected",
        "Rejected rows",
        "Raw rows that cleaning refused, of all tables; the newest report has the reasons.",
    )


def line_figure(records: Sequence[Record], lines: Mapping[str, Sequence[float]]) -> tuple[Figure, Axes]:
    figure, axes = new_figure()
    colours = ["accent", *(name for name in LIGHT if name.startswith("baseline-") and name != "baseline-0")]
    for place, (name, values) in enumerate(lines.items()):
        axes.plot(
            run_times(records),
            values,
            color=LIGHT[colours[place % len(colours)]],
            linestyle=(["solid", *DASHES])[place % (1 + len(DASHES))],
            label=name,
            **markers(records),
        )
    add_legend(figure, axes)
    return figure, axes


def value_of(record: Record, task: str, model: str, metric: str) -> float:
    """Of the champion also where it is the model that was evaluated, and so has no column of its own."""
    found = record.task(task)
    if found is None:
        return math.nan
    if model == CHAMPION and record.is_champion:
        model = record.candidate
    return found.value(model, metric)


def ends_of(
    records: Sequence[Record], task: str, model: str, metric: Metric
) -> list[tuple[float, float, float] | None]:
    """Difference and the ends of its interval, run by run; None where there is no interval."""
    of_task = [record.task(task) for record in records]
    against = [found.difference(model, metric.name) if found else None for found in of_task]
    return [found.ends if found else None for found in against]


def run_times(records: Sequence[Record]) -> np.ndarray:
    return np.array([as_time(record.time) for record in records], dtype="datetime64[s]")


def as_time(iso: str) -> datetime:
    """In UTC, without saying so: matplotlib would else show the reader's own zone."""
    time = datetime.fromisoformat(iso)
    return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time


def markers(records: Sequence[Record]) -> dict[str, Any]:
    if len(records) > MOST_MARKERS:
        return {}
    return {"marker": "o", "markersize": 6 if len(records) == 1 else 3.5}


def line_style(model: str, candidate: str, place: int) -> dict[str, Any]:
    ours = model == candidate
    return {
        "color": LIGHT["accent" if ours else BASELINES[model]],
        "linestyle": "solid" if ours else DASHES[(place - 1) % len(DASHES)],
        "linewidth": 2.2 if ours else 1.4,
        "zorder": 4 if ours else 3,
        "label": model,
    }


def finish_axes(axes: Axes, records: Sequence[Record], unit: str) -> None:
    axes.set_xlabel("time of the run (UTC)")
    axes.set_ylabel(unit)
    times = run_times(records)
    if len(np.unique(times)) == 1:
        axes.set_xlim(times[0] - ALONE, times[0] + ALONE)
    locator = AutoDateLocator(minticks=3, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def count_from_zero(axes: Axes, records: Sequence[Record]) -> None:
    finish_axes(axes, records, "rows")
    axes.set_ylim(0, max(1.0, axes.get_ylim()[1]))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def drawn(figure: Figure, identifier: str, title: str, caption: str) -> ReportFigure:
    return ReportFigure(title, caption, to_svg(figure, identifier, f"{title}. {caption}"))
