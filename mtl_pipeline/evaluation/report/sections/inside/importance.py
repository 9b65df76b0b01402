"""What each task relies on: a sentence and a figure for each task, and a table of all tasks."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from mtl_pipeline.evaluation.formatting import (
    MISSING,
    decimals_for,
    format_signed,
    format_value,
    join_words,
    shortened,
)
from mtl_pipeline.evaluation.report.document import Section, Table
from mtl_pipeline.evaluation.report.figures.canvas import LONGEST_NAME, ReportFigure, new_figure
from mtl_pipeline.evaluation.report.figures.palette import LIGHT
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.spec import Task

MOST_FEATURES = 12
"""Single features shown for a task, the most important ones."""
NAMED = 3
"""Features that a task's sentence names."""
CLEAR = 2
"""An importance of so many spreads is named in a sentence."""
INCHES_A_BAR = 0.25

HOW_TO_READ = (
    "One feature at a time is shuffled among test rows, so that it says nothing any more, and the task's headline "
    "metric is measured again. Features that know the same stand in for each other: each alone then seems to matter "
    "little, and the family as a whole tells more: so “items chosen last”, the items as the network reads them one by "
    "one, and the columns that are made of the same items. It is what the model has learned: a feature that it relies "
    "on need not cause anything."
)


def sections(evaluation: Evaluation, importance: pl.DataFrame) -> list[Section]:
    tasks = evaluation.tasks
    if not (figures := importance_figures(importance, tasks)):
        return []
    tables = [importance_table(importance, tasks)]
    numbers = Section("In figures and numbers", [HOW_TO_READ], tables=tables, figures=figures)
    return [Section("Features", points=importance_sentences(importance, tasks), details=[numbers])]


def by_task(importance: pl.DataFrame, tasks: Sequence[Task]) -> list[tuple[Task, pl.DataFrame]]:
    """Each task with its groups, most important first; without those whose importance is undefined or infinite, and
    without tasks that have no other."""
    finite = importance.filter(pl.col("importance").is_finite())
    ranked = finite.sort("importance", descending=True, maintain_order=True)
    groups = [(task, ranked.filter(task=task.name)) for task in tasks]
    return [(task, of_task) for task, of_task in groups if of_task.height]


def families(groups: pl.DataFrame) -> pl.DataFrame:
    """One row per family: the family as a whole, or its only feature."""
    whole = groups.filter("is_family")["family"].implode()
    return groups.filter(pl.col("is_family") | ~pl.col("family").is_in(whole))


def features(groups: pl.DataFrame) -> pl.DataFrame:
    return groups.filter(~pl.col("is_family"))


def importance_sentences(importance: pl.DataFrame, tasks: Sequence[Task]) -> list[str]:
    """'watched (ROC-AUC 0.862): most is lost without all history (0.201); of single features, without …'"""
    return [
        importance_sentence(groups, task) + infinite_sentence(importance, task)
        for task, groups in by_task(importance, tasks)
    ]


def infinite_sentence(importance: pl.DataFrame, task: Task) -> str:
    """Of groups without which a prediction is as wrong as can be, say a count of a thousand digits."""
    groups = importance.filter(pl.col("importance").is_infinite(), task=task.name)["group"].to_list()
    label = KINDS[task.kind].headline.label
    return f" {label} is infinite without {join_words(groups)}, which is not drawn." if groups else ""


def importance_sentence(groups: pl.DataFrame, task: Task) -> str:
    start = f"{task.name} ({KINDS[task.kind].headline.label} {format_value(groups['score'][0])})"
    clear = groups.filter(pl.col("importance") > CLEAR * pl.col("spread"), pl.col("importance") > 0)
    if clear.is_empty():
        return f"{start}: no feature clearly matters."
    wholes, singles = named(families(clear).head(1)), named(features(clear).head(NAMED))
    most = f"most is lost without {wholes[0]}; " if wholes else ""
    if not singles:
        return f"{start}: {most}no single feature clearly matters."
    return f"{start}: {most}of single features, without {join_words(singles)}."


def named(groups: pl.DataFrame) -> list[str]:
    return [f"{row['group']} ({format_value(row['importance'])})" for row in groups.to_dicts()]


def importance_figures(importance: pl.DataFrame, tasks: Sequence[Task]) -> list[ReportFigure]:
    return [importance_figure(groups, task) for task, groups in by_task(importance, tasks)]


def importance_figure(groups: pl.DataFrame, task: Task) -> ReportFigure:
    """Bars of the families above, of the single features below."""
    metric = KINDS[task.kind].headline
    panels = [(families(groups), "baseline-2"), (features(groups).head(MOST_FEATURES), "accent")]
    heights = [max(1, len(panel)) for panel, _ in panels]
    figure, stacked = new_figure(1.0 + INCHES_A_BAR * sum(heights), 2, height_ratios=heights)
    for axes, (panel, colour) in zip(stacked, panels, strict=True):
        draw_bars(axes, panel, colour)
    stacked[0].set_ylabel("families")
    stacked[1].set_ylabel("single features")
    figure.align_ylabels(stacked)
    stacked[1].xaxis.set_major_locator(MaxNLocator(nbins=5))
    unit = f" ({metric.unit})" if metric.unit else ""
    stacked[1].set_xlabel(f"{cost_of(task)} by shuffling{unit}")
    left_out = len(features(groups)) - MOST_FEATURES
    caption = (
        f"How much worse {metric.label} becomes when a feature is shuffled among {groups['rows'][0]:,} test rows: mean "
        f"of {groups['permutations'][0]} permutations, line: their standard deviation."
    )
    if left_out > 0:
        caption += f" {left_out} less important features are not drawn."
    return ReportFigure(f"What {task.name} relies on", caption, figure)


def cost_of(task: Task) -> str:
    metric = KINDS[task.kind].headline
    return f"{metric.label} {'lost' if metric.higher_is_better else 'added'}"


def draw_bars(axes: Axes, panel: pl.DataFrame, colour: str) -> None:
    places = range(len(panel))
    axes.barh(
        places,
        panel["importance"].to_numpy(),
        xerr=panel["spread"].to_numpy(),
        height=0.68,
        color=LIGHT[colour],
        ecolor=LIGHT["ink"],
        error_kw={"elinewidth": 1},
    )
    axes.axvline(0, color=LIGHT["muted"], linewidth=0.8)
    axes.set_yticks(places, [shortened(name, LONGEST_NAME) for name in panel["group"]])
    axes.tick_params(axis="y", labelsize=8, length=0)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(len(panel) - 0.4, -0.6)


def importance_table(importance: pl.DataFrame, tasks: Sequence[Task]) -> Table:
    """Families, then the features that matter most to some task, a column per task."""
    measured = by_task(importance, tasks)
    shown: dict[str, None] = {}
    for part in (families, features):
        share = pl.col("importance") / pl.max("importance")
        shares = pl.concat(part(groups.with_columns(share=share)) for _, groups in measured)
        largest = shares.group_by("group").agg(pl.max("share"))
        ranked = largest.sort("share", "group", descending=[True, False])
        shown |= dict.fromkeys(ranked["group"].head(MOST_FEATURES))
    cells = [cells_of(groups) for _, groups in measured]
    heads = ["shuffled", *(f"{task.name}: {cost_of(task)}" for task, _ in measured)]
    return Table(heads, [[group, *(of_task.get(group, MISSING) for of_task in cells)] for group in shown])


def cells_of(groups: pl.DataFrame) -> dict[str, str]:
    """Group → '+0.0312 ± 0.0005'."""
    decimals = decimals_for(float(groups["importance"].abs().max() or 0)) + 1  # type: ignore[arg-type]
    return {
        row["group"]: f"{format_signed(row['importance'], decimals)} ± {row['spread']:,.{decimals}f}"
        for row in groups.iter_rows(named=True)
    }
