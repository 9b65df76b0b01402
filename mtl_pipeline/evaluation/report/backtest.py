"""A backtest as a document: in words first, in how many windows the candidate was better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import polars as pl

from mtl_pipeline.evaluation.formatting import format_difference, format_value, join_words
from mtl_pipeline.evaluation.inference.intervals import BETTER, UNDECIDED, WORSE
from mtl_pipeline.evaluation.report.document import Cell, Document, Section, Table
from mtl_pipeline.evaluation.report.figures.backtest_figures import task_figures, windows_figure
from mtl_pipeline.evaluation.report.figures.canvas import STYLE
from mtl_pipeline.evaluation.report.sections.terms import terms_sections
from mtl_pipeline.evaluation.report.wording import HOW_TO_READ, labelled, marked
from mtl_pipeline.evaluation.studies.backtest import BEST_BASELINE, NOT_SCORED, BacktestResult, pooled_rows
from mtl_pipeline.evaluation.studies.scoring import in_headline
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import CANDIDATE, SINGLE_TASK
from mtl_pipeline.spec import Task


def backtest_report(result: BacktestResult) -> Document:
    with matplotlib.rc_context(STYLE):
        return Document("Backtest", result.pipeline, result.created_at, {"report": sections(result)})


def sections(result: BacktestResult) -> list[Section]:
    shown = [KINDS[task.kind].metric(name) for task in result.tasks for name in KINDS[task.kind].compared]
    models = result.scores.metrics["model"].unique(maintain_order=True)
    resumed = f" {result.resumed} {result.unit}s were finished by an earlier run that was stopped."
    return [
        Section(
            "Verdict",
            [
                f"Does what one test split says hold in other {result.unit}s? {overall_sentence(result)}",
                f"Mean differences stand below, with each task. {HOW_TO_READ}",
            ],
            [sentence for task in result.tasks for sentence in task_sentences(result, task)],
        ),
        Section(
            "What trained, what tested", tables=[windows_table(result)], figures=[windows_figure(result)]
        ),
        *(task_section(result, task) for task in result.tasks),
        Section(
            "How it was done",
            [
                *how_it_was_done(result),
                f"Inputs and settings: {result.fingerprint}.{resumed if result.resumed else ''}",
            ],
        ),
        *terms_sections(shown, models, {}),
    ]


def task_sentences(result: BacktestResult, task: Task) -> list[str]:
    rows = pooled_rows(result, task)
    if not rows:
        return [f"On {task.name}, there is no baseline to compare with."]
    return [task_sentence(result, task, row) for row in rows]


def overall_sentence(result: BacktestResult) -> str:
    """What the means say over all tasks, against single_task and the best baseline."""
    rows = [row for task in result.tasks for row in pooled_rows(result, task)]
    means = {
        baseline: [row for row in rows if row["baseline"] == baseline]
        for baseline in (SINGLE_TASK, BEST_BASELINE)
    }
    clauses = [overall_clause(baseline, found) for baseline, found in means.items() if found]
    windows = count(result.windows.height, result.unit)
    if any(row["windows"] < result.windows.height for row in rows):
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


def task_section(result: BacktestResult, task: Task) -> Section:
    return Section(
        task.name,
        tables=[pooled_table(result, task)],
        figures=task_figures(result, task),
        details=[
            Section(
                f"Single {result.unit}s",
                points=section_notes(result, task),
                tables=[scores_table(result, task), differences_table(result, task)],
            )
        ],
    )


def task_sentence(result: BacktestResult, task: Task, row: dict[str, Any]) -> str:
    """What the windows say together about the candidate and one baseline, on the headline metric."""
    whom = row["baseline"] if row["baseline"] != BEST_BASELINE else best_in_words(result, task)
    total = result.windows.height
    sentence = (
        f"On {task.name}, {CANDIDATE} is better than {whom} in {row['better']} of {count(total, result.unit)}, "
        f"worse in {row['worse']}, and in {row['undecided']} no difference is shown."
    )
    if unscored := total - row["better"] - row["worse"] - row["undecided"]:
        sentence += f" Nothing can be said of {unscored}."
    return sentence


def best_in_words(result: BacktestResult, task: Task) -> str:
    """'the best baseline (boosted_trees)'."""
    lines = in_headline(result.scores.comparisons, task).filter("best_baseline")
    names = lines["baseline"].unique(maintain_order=True)
    return f"the {BEST_BASELINE} ({join_words(names.to_list())})"


def windows_head(result: BacktestResult) -> list[str]:
    return [f"{result.unit} {name}" for name in result.window_names]


def scores_table(result: BacktestResult, task: Task) -> Table:
    """The headline metric, a row for each model, a column for each window, and the mean over those with a score."""
    shown = KINDS[task.kind].headline
    scores = in_headline(result.scores.metrics, task).filter(pl.col("split") == "test")
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
    heads = ["model", *windows_head(result), "mean"]
    return Table(heads, rows, f"{labelled(shown)} on the test rows", highlighted=CANDIDATE)


def differences_table(result: BacktestResult, task: Task) -> Table:
    """The candidate minus each baseline in each window, on the headline metric."""
    shown = KINDS[task.kind].headline
    lines = in_headline(result.scores.comparisons, task)
    rows = []
    for baseline in lines["baseline"].unique(maintain_order=True):
        of_baseline = lines.filter(pl.col("baseline") == baseline).sort("window")
        rows.append([baseline, *(difference_cell(line) for line in of_baseline.iter_rows(named=True))])
    star = "* the baseline that is best on the window's validation rows, single_task aside."
    heads = ["baseline", *windows_head(result)]
    return Table(heads, rows, f"{CANDIDATE} minus each baseline in {labelled(shown)}", notes=[star])


def difference_cell(line: dict[str, Any]) -> Cell:
    cell = marked(line["difference"], line["low"], line["high"], line["verdict"])
    return Cell(f"{cell.text} *", cell.tone) if line["best_baseline"] else cell


def pooled_table(result: BacktestResult, task: Task) -> Table:
    """The mean difference over the windows, of every compared metric."""
    rows = [
        [
            labelled(KINDS[task.kind].metric(row["metric"])),
            row["baseline"],
            marked(row["difference"], row["low"], row["high"], row["verdict"]),
            " / ".join(str(row[outcome]) for outcome in ("better", "worse", "undecided")),
            " to ".join(format_difference(row[end], math.nan, math.nan)[0] for end in ("least", "greatest")),
        ]
        for row in result.pooled.filter(pl.col("task") == task.name).iter_rows(named=True)
    ]
    heads = ["metric", "baseline", "mean difference", "better / worse / neither", f"single {result.unit}s"]
    return Table(
        heads, rows, f"Mean of {CANDIDATE} minus baseline over the {result.unit}s", pooled_notes(result, task)
    )


def pooled_notes(result: BacktestResult, task: Task) -> list[str]:
    rows = result.pooled.filter(pl.col("task") == task.name, pl.col("note") != "")
    return [
        f"{row['baseline']}: {row['note']}"
        for row in rows.unique(["baseline", "note"], maintain_order=True).to_dicts()
    ]


def section_notes(result: BacktestResult, task: Task) -> list[str]:
    """Why a value is missing or rough, each reason once a window."""
    missing = result.scores.metrics.filter(pl.col("split") == "test", pl.col("value").is_nan())
    lines = [
        line
        for frame in (missing, result.scores.comparisons)
        for line in in_headline(frame, task).filter(pl.col("note") != "").iter_rows(named=True)
    ]
    return list(dict.fromkeys(f"{result.unit} {line['window']}: {line['note']}" for line in lines))


def windows_table(result: BacktestResult) -> Table:
    times = [] if result.folded else ["training from", "validation from", "test from", "to"]
    rows = [
        [
            f"{row['window']}{' (the test split)' if row['is_test_split'] else ''}",
            *(f"{row[f'{split}_rows']:,}" for split in ("train", "validation", "test")),
            *(
                []
                if result.folded
                else [
                    f"{row[name]:%Y-%m-%d}"
                    for name in ("train_start", "validation_start", "test_start", "test_end")
                ]
            ),
            f"{row['best_epoch']:g}",
            f"{row['seconds']:,.0f}",
        ]
        for row in result.windows.iter_rows(named=True)
    ]
    heads = [result.unit, "train", "validation", "test", *times, "best epoch", "seconds"]
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
