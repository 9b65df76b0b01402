"""What joint training does to each task, in words, and what the guard made of it; the numbers against single_task stand
in the verdict."""

from __future__ import annotations

import polars as pl

from mtl_pipeline.evaluation.formatting import join_words
from mtl_pipeline.evaluation.inference.intervals import BETTER, INCOMPARABLE, UNDECIDED, WORSE
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Cell, Section, Table
from mtl_pipeline.evaluation.report.wording import (
    TWO_NETWORKS,
    clauses,
    labelled,
    marked,
    notes_of,
    outcome_of,
)
from mtl_pipeline.evaluation.studies.scoring import Evaluation, in_headline
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import JOINT, MEAN, OWN, SINGLE_TASK
from mtl_pipeline.spec import Task

EFFECTS = {
    WORSE: "hurts in",
    BETTER: "helps in",
    UNDECIDED: "makes no difference that is shown in",
    INCOMPARABLE: "cannot be judged in",
}
PREDICTED_BY = {
    JOINT: "the joint network",
    OWN: "its own network",
    MEAN: "the mean of the joint and its own network",
}
GUARDED = (
    "Where validation rows show that this joint network is worse than a task's own, the guard (training.guard) leaves "
    "the task to its own network; and, harm or not, to the mean of both where that is better there in every compared "
    "metric (training.hedge). The last column, as the verdict, compares what then predicts with the own network. "
    + TWO_NETWORKS
)


OWN_SEED = (
    "What is said of joint training itself, and the first two columns of differences, are of the model's own seed; "
    "only the last column is a mean over seeds."
)


def sections(evaluation: Evaluation, context: ReportContext) -> list[Section]:
    """Nothing where no model is trained for one task alone."""
    tasks = [task for task in evaluation.tasks if SINGLE_TASK in evaluation.models(task.name)]
    guard = context.parts.get("guard", pl.DataFrame())
    how = (
        f"{evaluation.candidate} learns all tasks together; {SINGLE_TASK} is the same network, trained for each task "
        "alone."
    )
    points = [joint_sentence(evaluation, task, guard) for task in tasks]
    tables = [] if guard.is_empty() else [guard_table(evaluation, guard, tasks)]
    notes = [GUARDED, *([OWN_SEED] if evaluation.seeds > 1 else [])] if tables else []
    return [Section("Joint training", [how, *notes], points, tables=tables)] if points else []


def joint_sentence(evaluation: Evaluation, task: Task, guard: pl.DataFrame | None = None) -> str:
    """'watched: joint training helps in ROC-AUC and makes no difference that is shown in log-loss.'"""
    predicted_by = chosen(guard, task)
    compared, where = evaluation.comparisons.filter(task=task.name, baseline=SINGLE_TASK), ""
    if guard is not None and not guard.is_empty():
        split, other = ("test", SINGLE_TASK) if predicted_by == JOINT else ("validation", OWN)
        compared = guard.filter(task=task.name, split=split, baseline=other)
    if predicted_by != JOINT:
        where = f" on validation rows; {PREDICTED_BY[predicted_by]}, better there, predicts"
    outcomes = {
        KINDS[task.kind].metric(row["metric"]).label: outcome_of(row)
        for row in compared.iter_rows(named=True)
    }
    return f"{task.name}: joint training {join_words(clauses(EFFECTS, outcomes))}{where}."


def chosen(guard: pl.DataFrame | None, task: Task) -> str:
    """What predicts the task."""
    return JOINT if guard is None or guard.is_empty() else guard.filter(task=task.name)["predicted_by"][0]


def guard_table(evaluation: Evaluation, guard: pl.DataFrame, tasks: list[Task]) -> Table:
    """The joint network against a task's own in the headline metric: on validation rows, which decide, and on test
    rows; and there what now predicts against the own network."""
    lines: list[list[Cell | str]] = []
    noted: list[dict] = []
    for task in tasks:
        of_task = {(row["split"], row["baseline"]): row for row in in_headline(guard, task).to_dicts()}
        (now,) = in_headline(evaluation.comparisons, task).filter(baseline=SINGLE_TASK).to_dicts()
        rows = [of_task["validation", OWN], of_task["test", SINGLE_TASK], now]
        noted += rows
        lines.append(
            [
                task.name,
                PREDICTED_BY[chosen(guard, task)],
                labelled(KINDS[task.kind].headline),
                *map(marked, rows),
            ]
        )
    heads = ["task", "predicted by", "metric", "joint − own, validation", "joint − own, test"]
    return Table([*heads, f"{evaluation.candidate} − own, test"], lines, notes=notes_of(noted, "task"))
