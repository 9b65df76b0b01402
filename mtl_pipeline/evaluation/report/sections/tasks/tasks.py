"""Each task: every model in every metric, what calibration did, and its figures."""

from __future__ import annotations

import polars as pl

from mtl_pipeline.evaluation.formatting import format_value, join_words
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Section, Table
from mtl_pipeline.evaluation.report.figures.task_figures import task_figures
from mtl_pipeline.evaluation.report.tables import model_table
from mtl_pipeline.evaluation.report.wording import clauses, labelled
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.spec import Task

BEST_IS_BOLD = "↑ higher is better, ↓ lower is better; the best is bold."
AT_THRESHOLD = (
    "F1, precision, recall and accuracy at the threshold with the best F1 on validation rows. Precision and recall "
    "trade against each other, and a constant can be perfectly calibrated, so these and ECE have no best."
)
SAME_RULE = (
    "On the test rows. The rule and the validation rows are the same for every model; one that is missing here was not "
    "changed, since no correction helped on rows that it was not fitted on. All other numbers are after calibration."
)
EFFECTS = {"higher": "raised", "lower": "lowered", "equal": "did not change"}
"""Every measure of calibration is an error: what is raised is worse."""


def sections(evaluation: Evaluation, context: ReportContext) -> list[Section]:
    return [task_section(evaluation, context, task) for task in evaluation.tasks]


def task_section(evaluation: Evaluation, context: ReportContext, task: Task) -> Section:
    figures = task_figures(context.predictions, task, evaluation.candidate, context.training_log)
    scores = evaluation.metrics.filter(task=task.name, split="test")
    rows, users = scores.select("rows", "users").row(0)
    of_users = "" if users is None else f" of {users:,} users"
    details = calibration_section(evaluation, context, task)
    if figures:
        details.append(Section("Figures", figures=figures))
    how = f"{task.kind}: {rows:,} test rows{of_users}, where this label was observed."
    return Section(task.name, [how], tables=[metrics_table(evaluation, task, scores)], details=details)


def metrics_table(evaluation: Evaluation, task: Task, scores: pl.DataFrame) -> Table:
    """The way to the ceiling is no column: the verdict has it."""
    measured = set(scores["metric"])
    chosen = evaluation.thresholds.filter(task=task.name).to_dicts()
    return model_table(
        scores,
        [metric for metric in KINDS[task.kind].metrics if metric.name in measured],
        candidate=evaluation.candidate,
        notes=[
            *(f"threshold of {row['model']}: {row['note']}" for row in chosen if row["note"]),
            f"{BEST_IS_BOLD} {AT_THRESHOLD}" if chosen else BEST_IS_BOLD,
        ],
        more={"threshold": {row["model"]: format_value(row["threshold"]) for row in chosen}}
        if chosen
        else {},
    )


def calibration_section(evaluation: Evaluation, context: ReportContext, task: Task) -> list[Section]:
    """Nothing where no model was changed, and nothing is known of the candidate's calibration."""
    changed = evaluation.calibration.filter("calibrated", task=task.name, split="test")
    how = context.calibration.get(task.name)
    if changed.is_empty() and how is None:
        return []
    measures = [KINDS[task.kind].metric(name) for name in KINDS[task.kind].calibration_measures]
    heads = ["model", *(f"{labelled(measure)}, before → after" for measure in measures)]
    rows = [
        [of_model[0]["model"], *map(before_after, of_model)]
        for of_model in (frame.to_dicts() for frame in changed.partition_by("model", maintain_order=True))
    ]
    sentences = [f"Calibration of {evaluation.candidate}: {how}."] if how else []
    sentences += calibration_sentence(changed.filter(model=evaluation.candidate), task)
    tables = [Table(heads, rows, notes=[SAME_RULE])] if rows else []
    return [Section("Before and after calibration", sentences, tables=tables)]


def before_after(row: dict) -> str:
    return f"{format_value(row['before'])} → {format_value(row['after'])}"


def calibration_sentence(changed: pl.DataFrame, task: Task) -> list[str]:
    """'On the test rows it raised ECE and lowered log-loss; …' Nothing where the candidate was not changed."""
    effects = {}
    for row in changed.iter_rows(named=True):
        same = format_value(row["before"]) == format_value(row["after"])
        effect = "equal" if same else "lower" if row["after"] < row["before"] else "higher"
        effects[KINDS[task.kind].metric(row["metric"]).label] = effect
    if not effects:
        return []
    did = join_words(clauses(EFFECTS, effects))
    return [f"On the test rows it {did}; lower is better, and a small change may be chance."]
