"""What joint training does to each task, in words; the numbers stand in the verdict, in the column of single_task."""

from __future__ import annotations

from mtl_pipeline.evaluation.formatting import join_words
from mtl_pipeline.evaluation.inference.intervals import BETTER, INCOMPARABLE, UNDECIDED, WORSE
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Section
from mtl_pipeline.evaluation.report.wording import clauses, outcome_of
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
    tasks = [task for task in evaluation.tasks if SINGLE_TASK in evaluation.models(task.name)]
    how = (
        f"{evaluation.candidate} learns all tasks together; {SINGLE_TASK} is the same network, trained for each task "
        "alone."
    )
    points = [joint_sentence(evaluation, task) for task in tasks]
    return [Section("Joint training", [how], points)] if points else []


def joint_sentence(evaluation: Evaluation, task: Task) -> str:
    """'watched: joint training helps in ROC-AUC and makes no difference that is shown in log-loss.'"""
    alone = evaluation.comparisons.filter(task=task.name, baseline=SINGLE_TASK).iter_rows(named=True)
    outcomes = {KINDS[task.kind].metric(row["metric"]).label: outcome_of(row) for row in alone}
    return f"{task.name}: joint training {join_words(clauses(EFFECTS, outcomes))}."
