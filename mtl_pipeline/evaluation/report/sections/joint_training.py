"""What joint training does to each task, in words; the numbers stand in the verdict, in the column of single_task."""

from __future__ import annotations

import polars as pl

from mtl_pipeline.evaluation.formatting import join_words
from mtl_pipeline.evaluation.inference.intervals import BETTER, INCOMPARABLE, UNDECIDED, WORSE
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Section
from mtl_pipeline.evaluation.report.wording import lines_of
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import SINGLE_TASK
from mtl_pipeline.spec import Task

EFFECTS = {
    WORSE: "hurts in",
    BETTER: "helps in",
    UNDECIDED: "makes no difference that is shown in",
    INCOMPARABLE: "cannot be judged in",
}


def sections(evaluation: Evaluation, context: ReportContext) -> list[Section]:
    """Nothing where no model is trained for one task alone."""
    points = [
        joint_sentence(evaluation, task)
        for task in evaluation.tasks
        if SINGLE_TASK in evaluation.models(task.name)
    ]
    if not points:
        return []
    how = (
        f"{evaluation.candidate} learns all tasks together; {SINGLE_TASK} is the same network, trained for each task "
        "alone."
    )
    return [Section("Joint training", [how], points)]


def joint_sentence(evaluation: Evaluation, task: Task) -> str:
    """'watched: joint training helps in ROC-AUC and makes no difference that is shown in log-loss.'"""
    alone = evaluation.comparisons.filter(pl.col("task") == task.name, pl.col("baseline") == SINGLE_TASK)
    labels = [KINDS[task.kind].metric(name).label for name in alone["metric"]]
    outcomes = [line.outcome for line in lines_of(alone, task.kind)]
    clauses = [
        f"{effect} {join_words([label for label, found in zip(labels, outcomes, strict=True) if found == outcome])}"
        for outcome, effect in EFFECTS.items()
        if outcome in outcomes
    ]
    return f"{task.name}: joint training {join_words(clauses)}."
