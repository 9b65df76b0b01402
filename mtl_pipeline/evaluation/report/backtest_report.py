"""A backtest as a page and as Markdown: in words first, in how many windows the candidate was better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from markupsafe import Markup

from mtl_pipeline.evaluation.formatting import MISSING, arrow, format_difference, format_value, join_words
from mtl_pipeline.evaluation.inference.intervals import BETTER, UNDECIDED, WORSE
from mtl_pipeline.evaluation.report.figures.backtest_figures import task_figures, windows_figure
from mtl_pipeline.evaluation.report.figures.canvas import ReportFigure
from mtl_pipeline.evaluation.report.figures.palette import DARK, LIGHT, css_variables
from mtl_pipeline.evaluation.report.markdown import escape, markdown_table
from mtl_pipeline.evaluation.report.page import MODEL_DESCRIPTIONS, template
from mtl_pipeline.evaluation.studies.backtest import BEST_BASELINE, NOT_SCORED, BacktestResult, pooled_rows
from mtl_pipeline.evaluation.studies.scoring import CANDIDATE
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.metrics.metric import Metric
from mtl_pipeline.predictions import SINGLE_TASK
from mtl_pipeline.spec import Task


@dataclass(frozen=True)
class Table:
    title: str
    heads: list[str]
    rows: list[list[str]]
    note: str = ""


@dataclass(frozen=True)
class Finding:
    """What the windows say together about the candidate and one baseline, on the headline metric of a task."""

    sentence: str
    difference: str
    interval: str
    range: str
    verdict: str
    note: str


@dataclass(frozen=True)
class TaskSection:
    name: str
    kind: str
    metric: Metric
    findings: list[Finding]
    scores: Table
    differences: Table
    pooled: Table
    notes: list[str]
    figures: list[ReportFigure]


def render_page(page: BacktestResult) -> str:
    """HTML without scripts or anything from elsewhere."""
    models = page.scores.metrics["model"].unique(maintain_order=True).to_list()
    shown = dict.fromkeys(
        KINDS[task.kind].metric(name) for task in page.tasks for name in KINDS[task.kind].compared
    )
    return template("backtest.html.jinja").render(
        page=page,
        overall=overall_sentence(page),
        sections=[task_section(page, task, position) for position, task in enumerate(page.tasks)],
        windows=windows_table(page),
        windows_figure=windows_figure(page),
        how=how_it_was_done(page),
        metrics=list(shown),
        models=[(model, MODEL_DESCRIPTIONS[model]) for model in models if model in MODEL_DESCRIPTIONS],
        light=Markup(css_variables(LIGHT)),
        dark=Markup(css_variables(DARK)),
    )


def render_markdown(page: BacktestResult) -> str:
    """The same in words and tables, without the figures."""
    parts = ["## Verdict", escape(overall_sentence(page))]
    sections = [task_section(page, task, position, draw=False) for position, task in enumerate(page.tasks)]
    parts.append(
        "\n".join(
            f"- {escape(finding.sentence)} Mean difference {finding.difference} {finding.interval}: "
            f"**{finding.verdict}**; single {page.unit}s {finding.range}.{note(finding.note)}"
            for section in sections
            for finding in section.findings
        )
    )
    for section in sections:
        parts.append(f"## {escape(section.name)} ({section.kind})")
        for table in (section.scores, section.differences, section.pooled):
            parts += [f"### {escape(table.title)}", grid(table)]
        parts += [f"– {escape(text)}" for text in section.notes]
    table = windows_table(page)
    parts += [f"## {table.title}", grid(table), "## How it was done", *map(escape, how_it_was_done(page))]
    return "\n\n".join(parts) + "\n"


def grid(table: Table) -> str:
    return markdown_table(table.heads, [[escape(cell) for cell in row] for row in table.rows])


def note(text: str) -> str:
    return f" ({escape(text)})" if text else ""


def overall_sentence(page: BacktestResult) -> str:
    """What the means say over all tasks, against single_task and the best baseline."""
    means = {
        baseline: [
            row
            for task in page.tasks
            for row in pooled_rows(page, task, KINDS[task.kind].headline.name, [baseline])
        ]
        for baseline in (SINGLE_TASK, BEST_BASELINE)
    }
    clauses = [overall_clause(baseline, rows) for baseline, rows in means.items() if rows]
    windows = count(page.windows.height, page.unit)
    if any(row["windows"] < page.windows.height for rows in means.values() for row in rows):
        windows = f"those of {windows} that could be scored"
    return f"On average over {windows}, each trained and tested anew, this holds of {CANDIDATE}: {'; '.join(clauses)}."


def overall_clause(baseline: str, means: Sequence[dict[str, Any]]) -> str:
    verdicts = [row["verdict"] for row in means]
    clause = (
        f"against {'the ' if baseline == BEST_BASELINE else ''}{baseline} it is better on {verdicts.count(BETTER)}, "
        f"worse on {verdicts.count(WORSE)} and shows no difference on {verdicts.count(UNDECIDED)} of "
        f"{count(len(verdicts), 'task')}"
    )
    if unscored := verdicts.count(NOT_SCORED):
        clause += f", and nothing can be said of {unscored}"
    return clause


def count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def task_section(page: BacktestResult, task: Task, position: int, *, draw: bool = True) -> TaskSection:
    return TaskSection(
        name=task.name,
        kind=task.kind,
        metric=KINDS[task.kind].headline,
        findings=[
            finding(page, task, row)
            for row in pooled_rows(page, task, KINDS[task.kind].headline.name, [SINGLE_TASK, BEST_BASELINE])
        ],
        scores=scores_table(page, task),
        differences=differences_table(page, task),
        pooled=pooled_table(page, task),
        notes=section_notes(page, task),
        figures=task_figures(page, task, position) if draw else [],
    )


def finding(page: BacktestResult, task: Task, row: dict[str, Any]) -> Finding:
    difference, interval = format_difference(row["difference"], row["low"], row["high"])
    whom = row["baseline"] if row["baseline"] != BEST_BASELINE else best_in_words(page, task)
    total = page.windows.height
    sentence = (
        f"On {task.name}, {CANDIDATE} is better than {whom} in {row['better']} of {count(total, page.unit)}, "
        f"worse in {row['worse']}, and in {row['undecided']} no difference is shown."
    )
    if unscored := total - row["better"] - row["worse"] - row["undecided"]:
        sentence += f" Nothing can be said of {unscored}."
    least, greatest = (format_difference(row[end], math.nan, math.nan)[0] for end in ("least", "greatest"))
    return Finding(sentence, difference, interval, f"{least} to {greatest}", row["verdict"], row["note"])


def best_in_words(page: BacktestResult, task: Task) -> str:
    """'the best baseline (boosted_trees)'."""
    names = page.scores.comparisons.filter(
        pl.col("task") == task.name, pl.col("metric") == KINDS[task.kind].headline.name, "best_baseline"
    )["baseline"].unique(maintain_order=True)
    return f"the {BEST_BASELINE} ({join_words(names.to_list())})"


def windows_head(page: BacktestResult) -> list[str]:
    return [f"{page.unit} {name}" for name in page.window_names]


def scores_table(page: BacktestResult, task: Task) -> Table:
    """The headline metric, a row for each model, a column for each window, and the mean over those with a score."""
    shown = KINDS[task.kind].headline
    scores = page.scores.metrics.filter(
        pl.col("task") == task.name, pl.col("metric") == shown.name, pl.col("split") == "test"
    )
    rows = []
    for model in scores["model"].unique(maintain_order=True):
        values = scores.filter(pl.col("model") == model).sort("window")["value"].to_list()
        found = [value for value in values if math.isfinite(value)]
        average = sum(found) / len(found) if found else math.nan
        rows.append([model, *map(format_value, values), format_value(average)])
    tested = scores.unique("window").sort("window")["rows"].to_list()
    rows.append(
        ["test rows with this label", *(f"{number:,}" for number in tested), f"{sum(tested):,} in all"]
    )
    return Table(f"{labelled(shown)} on the test rows", ["model", *windows_head(page), "mean"], rows)


def differences_table(page: BacktestResult, task: Task) -> Table:
    """The candidate minus each baseline in each window, on the headline metric."""
    shown = KINDS[task.kind].headline
    lines = page.scores.comparisons.filter(pl.col("task") == task.name, pl.col("metric") == shown.name)
    rows = []
    for baseline in lines["baseline"].unique(maintain_order=True):
        of_baseline = lines.filter(pl.col("baseline") == baseline).sort("window")
        rows.append([baseline, *(difference_cell(line) for line in of_baseline.iter_rows(named=True))])
    return Table(
        f"{CANDIDATE} minus each baseline in {labelled(shown)}",
        ["baseline", *windows_head(page)],
        rows,
        note="In brackets the 95 % interval of this window's test rows. ✓ better, ✗ worse, where the whole interval "
        "lies on one side of zero. * the baseline that is best on the window's validation rows, single_task aside.",
    )


def difference_cell(line: dict[str, Any]) -> str:
    difference, interval = format_difference(line["difference"], line["low"], line["high"])
    sign = {BETTER: " ✓", WORSE: " ✗"}.get(line["verdict"], "") if interval != MISSING else ""
    return f"{difference} {interval}{sign}{' *' if line['best_baseline'] else ''}"


def pooled_table(page: BacktestResult, task: Task) -> Table:
    """The mean difference over the windows, of every compared metric."""
    rows = [
        [
            f"{labelled(KINDS[task.kind].metric(row['metric']))}, {row['baseline']}",
            *format_difference(row["difference"], row["low"], row["high"]),
            row["verdict"],
            " / ".join(str(row[outcome]) for outcome in ("better", "worse", "undecided")),
            " to ".join(format_difference(row[end], math.nan, math.nan)[0] for end in ("least", "greatest")),
        ]
        for row in page.pooled.filter(pl.col("task") == task.name).iter_rows(named=True)
    ]
    heads = ["metric, baseline", "mean difference", "95 % interval", "verdict", "better / worse / neither"]
    return Table(f"Mean over the {page.unit}s", [*heads, f"single {page.unit}s"], rows)


def labelled(shown: Metric) -> str:
    return f"{shown.label} {arrow(shown.higher_is_better)}"


def section_notes(page: BacktestResult, task: Task) -> list[str]:
    """Why a value is missing or rough, each reason once a window."""
    shown = KINDS[task.kind].headline.name
    found: dict[str, None] = {}
    for frame in (
        page.scores.metrics.filter(pl.col("split") == "test", pl.col("value").is_nan()),
        page.scores.comparisons,
    ):
        lines = frame.filter(pl.col("task") == task.name, pl.col("metric") == shown, pl.col("note") != "")
        found |= {
            f"{page.unit} {line['window']}: {line['note']}": None for line in lines.iter_rows(named=True)
        }
    return list(found)


def windows_table(page: BacktestResult) -> Table:
    times = [] if page.folded else ["training from", "validation from", "test from", "to"]
    rows = [
        [
            f"{row['window']}{' (the test split)' if row['is_test_split'] else ''}",
            *(f"{row[f'{split}_rows']:,}" for split in ("train", "validation", "test")),
            *(
                []
                if page.folded
                else [
                    f"{row[name]:%Y-%m-%d}"
                    for name in ("train_start", "validation_start", "test_start", "test_end")
                ]
            ),
            f"{row['best_epoch']:g}",
            f"{row['seconds']:,.0f}",
        ]
        for row in page.windows.iter_rows(named=True)
    ]
    heads = [page.unit, "train", "validation", "test", *times, "best epoch", "seconds"]
    return Table(f"The {page.unit}s", heads, rows)


def how_it_was_done(page: BacktestResult) -> list[str]:
    """What a reader needs to judge the numbers."""
    unit = page.unit
    drawn = f"user, who count the same in every {unit}" if page.resampled == "users" else "row"
    return [
        folds_in_words(page) if page.folded else windows_in_words(page),
        f"In each {unit} everything that is learned was learned anew from its own training and validation rows: "
        "statistics, vocabularies, weights, when to stop, calibration, thresholds. Settings are those of defs.yaml for "
        "all.",
        f"Mean differences: each {unit} counts the same. Their intervals are a paired bootstrap, stratified by {unit} "
        f"and clustered by {drawn} (Davison & Hinkley 1997; Field & Welsh 2007): {page.bootstrap_samples:,} resamples, "
        f"seed {page.seed}. They hold chance in who was tested, not chance in training: {unit}s share training rows, "
        "and that variance has no unbiased estimate (Bengio & Grandvalet 2004). How far single "
        f"{unit}s lie apart stands beside them.",
        f"The {BEST_BASELINE} is chosen in each {unit} on its validation rows, among those other than single_task. Of "
        "many comparisons about one in twenty excludes zero without any true difference.",
    ]


def folds_in_words(page: BacktestResult) -> str:
    return (
        f"A hash splits these rows, not time, so this is a {page.windows.height}-fold cross-validation: each row is "
        "tested once, by models that neither trained nor were calibrated on it. Rows with the same "
        f"{', '.join(page.hash_by)} stay together. No fold is the pipeline's own test split, which is of another size "
        "as a rule, so these numbers differ from those of its evaluation."
    )


def windows_in_words(page: BacktestResult) -> str:
    rows = (
        "all rows before it (an expanding window)"
        if page.training == "expanding"
        else "equally many of the rows before it (a rolling window), so in the last window from fewer than the model"
    )
    return (
        "Each window is as long, in rows, as the pipeline's test split, and the last one is that split. Models learn "
        f"from {rows}; the last part of these is validation. This is a rolling-origin evaluation (Tashman 2000)."
    )
