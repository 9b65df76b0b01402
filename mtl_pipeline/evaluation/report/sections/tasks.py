"""Each task: every model in every metric, what calibration did, and its figures."""

from __future__ import annotations

import polars as pl

from mtl_pipeline.evaluation.formatting import format_value, join_words
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Section, Table
from mtl_pipeline.evaluation.report.figures.task_figures import task_figures
from mtl_pipeline.evaluation.report.tables import model_table
from mtl_pipeline.evaluation.report.wording import labelled
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.metrics.metric import CEILING_SHARE
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


def sections(evaluation: Evaluation, context: ReportContext) -> list[Section]:
    return [task_section(evaluation, context, task) for task in evaluation.tasks]


def task_section(evaluation: Evaluation, context: ReportContext, task: Task) -> Section:
    figures = task_figures(
        context.predictions,
        task,
        evaluation.candidate,
        context.training_log,
    )
    return Section(
        task.name,
        [rows_sentence(evaluation, task)],
        tables=[metrics_table(evaluation, task)],
        details=[
            *calibration_section(evaluation, context, task),
            *([Section("Figures", figures=figures)] if figures else []),
        ],
    )


def rows_sentence(evaluation: Evaluation, task: Task) -> str:
    """'binary: 53,000 test rows of 166 users, where this label was observed.'"""
    row = evaluation.metrics.filter(pl.col("task") == task.name, pl.col("split") == "test").row(0, named=True)
    users = "" if row["users"] is None else f" of {row['users']:,} users"
    return f"{task.kind}: {row['rows']:,} test rows{users}, where this label was observed."


def metrics_table(evaluation: Evaluation, task: Task) -> Table:
    models, measured = evaluation.models(task.name), evaluation.metric_names(task.name)
    metrics = [shown for shown in (*KINDS[task.kind].metrics, CEILING_SHARE) if shown.name in measured]
    chosen = evaluation.thresholds.filter(pl.col("task") == task.name)
    thresholds = {row["model"]: format_value(row["threshold"]) for row in chosen.iter_rows(named=True)}
    missing = [
        f"threshold of {row['model']}: {row['note']}" for row in chosen.iter_rows(named=True) if row["note"]
    ]
    return model_table(
        models,
        metrics,
        {
            (model, shown.name): evaluation.score(task.name, model, shown.name)
            for model in models
            for shown in metrics
        },
        candidate=evaluation.candidate,
        notes=[*missing, f"{BEST_IS_BOLD} {AT_THRESHOLD if thresholds else ''}".strip()],
        more={"threshold": thresholds} if thresholds else {},
    )


def calibration_section(evaluation: Evaluation, context: ReportContext, task: Task) -> list[Section]:
    """Nothing where no model was changed, and nothing is known of the candidate's calibration."""
    frame = evaluation.calibration.filter(
        pl.col("task") == task.name, pl.col("split") == "test", pl.col("calibrated")
    )
    how = context.calibration.get(task.name)
    if frame.is_empty() and how is None:
        return []
    shown = [KINDS[task.kind].metric(name) for name in KINDS[task.kind].calibration_measures]
    values = {(row["model"], row["metric"]): row for row in frame.iter_rows(named=True)}
    rows = [
        [model, *(before_after(values[model, measure.name]) for measure in shown)]
        for model in frame["model"].unique(maintain_order=True)
    ]
    heads = ["model", *(f"{labelled(measure)}, before → after" for measure in shown)]
    return [
        Section(
            "Before and after calibration",
            [
                *([f"Calibration of {evaluation.candidate}: {how}."] if how else []),
                *calibration_sentence(frame, evaluation.candidate, task),
            ],
            tables=[Table(heads, rows, notes=[SAME_RULE])] if rows else [],
        )
    ]


def before_after(row: dict) -> str:
    return f"{format_value(row['before'])} → {format_value(row['after'])}"


def calibration_sentence(frame: pl.DataFrame, candidate: str, task: Task) -> list[str]:
    """'On the test rows it made ECE better and log-loss worse.' Nothing where the candidate was not changed."""
    effects: dict[str, list[str]] = {}
    for row in frame.filter(pl.col("model") == candidate).iter_rows(named=True):
        before, after = (format_value(row[when]) for when in ("before", "after"))
        # Every measure of calibration is an error: lower is better.
        effect = "unchanged" if before == after else "better" if row["after"] < row["before"] else "worse"
        effects.setdefault(effect, []).append(KINDS[task.kind].metric(row["metric"]).label)
    clauses = [f"{join_words(labels)} {effect}" for effect, labels in effects.items()]
    return [f"On the test rows it left {join_words(clauses)}."] if clauses else []
