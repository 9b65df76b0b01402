"""A backtest as a document: in words first, in how many windows the candidate was better."""

from __future__ import annotations

import math
from typing import Any

import matplotlib
import polars as pl

from mtl_pipeline.evaluation.formatting import counted, format_difference, format_value, join_words
from mtl_pipeline.evaluation.inference.intervals import BETTER, UNDECIDED, WORSE
from mtl_pipeline.evaluation.report.document import Cell, Document, Section, Table
from mtl_pipeline.evaluation.report.figures.backtest_figures import task_figures, windows_figure
from mtl_pipeline.evaluation.report.figures.canvas import STYLE
from mtl_pipeline.evaluation.report.sections.terms import terms_sections
from mtl_pipeline.evaluation.report.wording import HOW_TO_READ, TWO_NETWORKS, labelled, marked, notes_of
from mtl_pipeline.evaluation.studies.runs.backtest import (
    BEST_BASELINE,
    NOT_SCORED,
    BacktestResult,
    pooled_rows,
)
from mtl_pipeline.evaluation.studies.scoring import in_headline
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import CANDIDATE, SINGLE_TASK
from mtl_pipeline.spec import Task

DAYS = {
    "training from": "train_start",
    "validation from": "validation_start",
    "test from": "test_start",
    "to": "test_end",
}


def backtest_report(result: BacktestResult) -> Document:
    with matplotlib.rc_context(STYLE):
        return Document("Backtest", result.pipeline, result.created_at, {"report": sections(result)})


def sections(result: BacktestResult) -> list[Section]:
    shown = [KINDS[task.kind].metric(name) for task in result.tasks for name in KINDS[task.kind].compared]
    models = result.scores.metrics["model"].unique(maintain_order=True)
    resumed = f" {result.resumed} {result.unit}s were finished by an earlier run that was stopped."
    inputs = f"Inputs and settings: {result.fingerprint}.{resumed if result.resumed else ''}"
    verdict = [
        f"Does what one test split says hold in other {result.unit}s? {overall_sentence(result)}",
        f"Mean differences stand below, with each task. {HOW_TO_READ}",
    ]
    by_task = [sentence for task in result.tasks for sentence in task_sentences(result, task)]
    tables, figures = [windows_table(result)], [windows_figure(result)]
    return [
        Section("Verdict", verdict, by_task),
        Section("What trained, what tested", tables=tables, figures=figures),
        *(task_section(result, task) for task in result.tasks),
        Section("How it was done", [*how_it_was_done(result), inputs]),
        *terms_sections(shown, models, {}),
    ]


def task_sentences(result: BacktestResult, task: Task) -> list[str]:
    sentences = [task_sentence(result, task, row) for row in pooled_rows(result, task)]
    return sentences or [f"On {task.name}, there is no baseline to compare with."]


def overall_sentence(result: BacktestResult) -> str:
    """What the means say over all tasks, against single_task and the best baseline."""
    rows = [row for task in result.tasks for row in pooled_rows(result, task)]
    verdicts = {
        baseline: [row["verdict"] for row in rows if row["baseline"] == baseline]
        for baseline in (SINGLE_TASK, BEST_BASELINE)
    }
    clauses = [overall_clause(baseline, of_tasks) for baseline, of_tasks in verdicts.items() if of_tasks]
    windows = counted(result.windows.height, result.unit)
    if any(row["windows"] < result.windows.height for row in rows):
        windows = f"those of {windows} that could be scored"
    return f"On average over {windows}, each trained and tested anew, this holds of {CANDIDATE}: {'; '.join(clauses)}."


def overall_clause(baseline: str, verdicts: list[str]) -> str:
    clause = (
        f"against {'the ' if baseline == BEST_BASELINE else ''}{baseline} it is better on {verdicts.count(BETTER)}, "
        f"worse on {verdicts.count(WORSE)} and shows no difference on {verdicts.count(UNDECIDED)} of "
        f"{counted(len(verdicts), 'task')}"
    )
    unscored = verdicts.count(NOT_SCORED)
    return f"{clause}, and nothing can be said of {unscored}" if unscored else clause


def task_section(result: BacktestResult, task: Task) -> Section:
    tables = [scores_table(result, task), differences_table(result, task)]
    single = Section(f"Single {result.unit}s", points=section_notes(result, task), tables=tables)
    figures = task_figures(result, task)
    return Section(task.name, tables=[pooled_table(result, task)], figures=figures, details=[single])


def task_sentence(result: BacktestResult, task: Task, row: dict[str, Any]) -> str:
    """What the windows say together about the candidate and one baseline, on the headline metric."""
    whom = row["baseline"]
    if whom == BEST_BASELINE:
        best = in_headline(result.scores.comparisons, task).filter("best_baseline")["baseline"]
        whom = f"the {BEST_BASELINE} ({join_words(best.unique(maintain_order=True).to_list())})"
    total = result.windows.height
    sentence = (
        f"On {task.name}, {CANDIDATE} is better than {whom} in {row['better']} of {counted(total, result.unit)}, "
        f"worse in {row['worse']}, and in {row['undecided']} no difference is shown."
    )
    if unscored := total - row["better"] - row["worse"] - row["undecided"]:
        sentence += f" Nothing can be said of {unscored}."
    return sentence


def window_heads(result: BacktestResult) -> list[str]:
    return [f"{result.unit} {name}" for name in result.window_names]


def scores_table(result: BacktestResult, task: Task) -> Table:
    """The headline metric, a row for each model, a column for each window, and the mean over those with a score."""
    scores = in_headline(result.scores.metrics, task).filter(split="test").sort("window", maintain_order=True)
    rows = []
    for of_model in scores.partition_by("model", maintain_order=True):
        values = of_model["value"]
        mean = values.filter(values.is_finite()).mean()
        rows.append([of_model["model"][0], *map(format_value, [*values, mean])])
    tested = scores.unique("window", maintain_order=True)["rows"]
    counts = [f"{number:,}" for number in (*tested, tested.sum())]
    rows.append(["test rows with this label", *counts[:-1], f"{counts[-1]} in all"])
    heads = ["model", *window_heads(result), "mean"]
    title = f"{labelled(KINDS[task.kind].headline)} on the test rows"
    return Table(heads, rows, title, highlighted=CANDIDATE)


def differences_table(result: BacktestResult, task: Task) -> Table:
    """The candidate minus each baseline in each window, on the headline metric."""
    lines = in_headline(result.scores.comparisons, task).sort("window", maintain_order=True)
    by_baseline = lines.partition_by("baseline", maintain_order=True)
    rows = [[frame["baseline"][0], *map(difference_cell, frame.to_dicts())] for frame in by_baseline]
    star = "* the baseline that is best on the window's validation rows, single_task aside."
    title = f"{CANDIDATE} minus each baseline in {labelled(KINDS[task.kind].headline)}"
    return Table(["baseline", *window_heads(result)], rows, title, notes=[star])


def difference_cell(line: dict[str, Any]) -> Cell:
    cell = marked(line)
    return Cell(f"{cell.text} *", cell.tone) if line["best_baseline"] else cell


def pooled_table(result: BacktestResult, task: Task) -> Table:
    """The mean difference over the windows, of every compared metric."""
    pooled = result.pooled.filter(task=task.name).to_dicts()
    rows = [
        [
            labelled(KINDS[task.kind].metric(row["metric"])),
            row["baseline"],
            marked(row),
            f"{row['better']} / {row['worse']} / {row['undecided']}",
            " to ".join(format_difference(row[end], math.nan, math.nan)[0] for end in ("least", "greatest")),
        ]
        for row in pooled
    ]
    heads = ["metric", "baseline", "mean difference", "better / worse / neither", f"single {result.unit}s"]
    title = f"Mean of {CANDIDATE} minus baseline over the {result.unit}s"
    return Table(heads, rows, title, notes_of(pooled, "baseline"))


def section_notes(result: BacktestResult, task: Task) -> list[str]:
    """Why a value is missing or rough, each reason once a window."""
    missing = result.scores.metrics.filter(pl.col("value").is_nan(), split="test")
    frames = (in_headline(frame, task) for frame in (missing, result.scores.comparisons))
    rows = [row for frame in frames for row in frame.to_dicts()]
    return [f"{result.unit} {note}" for note in notes_of(rows, "window")]


def windows_table(result: BacktestResult) -> Table:
    days = {} if result.folded else DAYS
    heads = [result.unit, "train", "validation", "test", *days, "best epoch", "seconds"]
    rows = [
        [
            f"{row['window']}{' (the test split)' if row['is_test_split'] else ''}",
            *(f"{row[f'{split}_rows']:,}" for split in ("train", "validation", "test")),
            *(f"{row[column]:%Y-%m-%d}" for column in days.values()),
            f"{row['best_epoch']:g}",
            f"{row['seconds']:,.0f}",
        ]
        for row in result.windows.iter_rows(named=True)
    ]
    return Table(heads, rows)


def how_it_was_done(result: BacktestResult) -> list[str]:
    """What a reader needs to judge the numbers."""
    unit = result.unit
    drawn = f"user, who count the same in every {unit}" if result.resampled == "users" else "row"
    return [
        folds_in_words(result) if result.folded else windows_in_words(result),
        f"In each {unit} everything that is learned was learned anew from its own training and validation rows: "
        "statistics, vocabularies, weights, when to stop, calibration, thresholds. Settings are those of defs.yaml for "
        "all.",
        f"Mean differences: each {unit} counts the same. Their intervals are a paired bootstrap, stratified by {unit} "
        f"and clustered by {drawn} (Davison & Hinkley 1997; Field & Welsh 2007): {result.bootstrap_samples:,} "
        f"resamples, seed {result.seed}. They hold chance in who was tested, not chance in training: {unit}s share "
        "training rows, and that variance has no unbiased estimate (Bengio & Grandvalet 2004). How far single "
        f"{unit}s lie apart stands beside them.",
        f"Each {unit} is guarded as the model is (training.guard), so that a task may be predicted by its own network, "
        f"or by the mean of this and the joint one. {TWO_NETWORKS}",
        f"The {BEST_BASELINE} is chosen in each {unit} on its validation rows, among those other than single_task. Of "
        "many comparisons about one in twenty excludes zero without any true difference.",
    ]


def folds_in_words(result: BacktestResult) -> str:
    return (
        f"A hash splits these rows, not time, so this is a {result.windows.height}-fold cross-validation: each row is "
        "tested once, by models that neither trained nor were calibrated on it. Rows with the same "
        f"{', '.join(result.hash_by)} stay together. No fold is the pipeline's own test split, which is of another "
        "size as a rule, so these numbers differ from those of its evaluation."
    )


def windows_in_words(result: BacktestResult) -> str:
    rows = (
        "all rows before it (an expanding window)"
        if result.training == "expanding"
        else "equally many of the rows before it (a rolling window), so in the last window from fewer than the model"
    )
    return (
        "Each window is as long, in rows, as the pipeline's test split, and the last one is that split. Models learn "
        f"from {rows}; the last part of these is validation. This is a rolling-origin evaluation (Tashman 2000)."
    )
