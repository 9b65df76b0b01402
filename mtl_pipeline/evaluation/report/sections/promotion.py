"""Whether the model becomes champion, and why."""

from __future__ import annotations

from mtl_pipeline.champions import Decision, TaskComparison, short
from mtl_pipeline.evaluation.formatting import format_difference, format_value
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Cell, Section, Table
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.predictions import CHAMPION, CONSTANT


def sections(evaluation: Evaluation, context: ReportContext) -> list[Section]:
    decision = context.decision
    if decision is None:
        return []
    details = [Section("What was compared", tables=[comparisons(decision)])] if decision.comparisons else []
    return [Section("Promotion", [decision.verdict], decision.reasons, details=details)]


def comparisons(decision: Decision) -> Table:
    """The challenger against a constant answer, the champion and the reference, a line for each task."""
    heads = ["task", "metric", "against", "its value", "challenger", "difference", "95 % interval", "allowed"]
    rule = (
        "A challenger is refused where the whole interval says that it is worse by more than is allowed, or, on a task "
        "that is not conditional on another, does not say that it is better than a constant answer."
    )
    notes = dict.fromkeys(f"{line.task}: {line.note}" for line in decision.comparisons if line.note)
    return Table(
        [*heads, "outcome"],
        [row_of(line) for line in decision.comparisons],
        notes=[*notes, *filter(None, [decision.window]), rule],
    )


def row_of(line: TaskComparison) -> list[Cell | str]:
    known = line.against in (CONSTANT, CHAMPION)
    return [
        line.task,
        f"{line.metric} {line.arrow}",
        line.against if known else f"earlier champion {short(line.against)}",
        format_value(line.theirs),
        format_value(line.challenger),
        *format_difference(line.difference, line.low, line.high),
        format_value(line.margin),
        Cell(line.outcome, line.outcome),
    ]
