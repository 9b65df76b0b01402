"""Whether the candidate beats each model: in words, and every difference with its interval, each once."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from mtl_pipeline.evaluation.formatting import percent
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Cell, Section, Table
from mtl_pipeline.evaluation.report.sections.seeds import seeds_sentence
from mtl_pipeline.evaluation.report.wording import (
    HOW_TO_READ,
    labelled,
    marked,
    outcome_of,
    overall_sentence,
    verdict_sentence,
)
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.metrics.metric import CEILING_SHARE, Metric
from mtl_pipeline.predictions import CEILING, CONSTANT
from mtl_pipeline.spec import Task


def sections(evaluation: Evaluation, context: ReportContext) -> list[Section]:
    candidate = evaluation.candidate
    outcomes = {
        name: {row["baseline"]: outcome_of(row) for row in rows.filter(metric=headline.name).to_dicts()}
        for name, (headline, *_), rows in compared(evaluation)
    }
    overall = overall_sentence(candidate, [outcomes[task.name] for task in evaluation.tasks])
    chains = set(evaluation.chain_comparisons["chain"])
    verdicts = [
        verdict_sentence(f"the whole chain {name}" if name in chains else name, candidate, of_models)
        for name, of_models in outcomes.items()
    ]
    ceilings = [
        ceiling_sentence(evaluation, task)
        for task in evaluation.tasks
        if CEILING_SHARE.name in evaluation.metric_names(task.name)
    ]
    first, second = (differences(evaluation, others=others) for others in (False, True))
    question = f"Does {candidate} predict the untouched test rows better than simpler models?"
    return [
        Section(
            "Verdict",
            [f"{question} {overall}", *context.caveats],
            [*verdicts, *ceilings],
            tables=[first] if first.rows else [],
            details=[Section("The other compared metrics", tables=[second])] if second.rows else [],
        )
    ]


def compared(evaluation: Evaluation) -> Iterator[tuple[str, list[Metric], pl.DataFrame]]:
    """Name, compared metrics, the headline first, and comparisons of every task, then of every whole chain of tasks."""
    by_kind = {kind: [each.metric(name) for name in each.compared] for kind, each in KINDS.items()}
    for task in evaluation.tasks:
        yield task.name, by_kind[task.kind], evaluation.comparisons.filter(task=task.name)
    for frame in evaluation.chain_comparisons.partition_by("chain", maintain_order=True):
        yield frame["chain"][0], by_kind["binary"], frame


def differences(evaluation: Evaluation, *, others: bool) -> Table:
    """A row for each task and whole chain in its headline metric, or in the others that are compared; a column for each
    model that the candidate is compared with."""
    frames = [evaluation.comparisons, evaluation.chain_comparisons]
    baselines = dict.fromkeys(name for frame in frames for name in frame["baseline"])
    lines: list[list[Cell | str]] = []
    notes: dict[str, None] = {}
    for name, metrics, comparisons in compared(evaluation):
        for metric in metrics[1:] if others else metrics[:1]:
            rows = {row["baseline"]: row for row in comparisons.filter(metric=metric.name).to_dicts()}
            cells = [marked(rows[baseline]) if baseline in rows else "" for baseline in baselines]
            lines += [[name, labelled(metric), *cells]] if rows else []
            notes |= {f"{name}: {row['note']}": None for row in rows.values() if row["note"]}
    how = (
        f"Differences are {evaluation.candidate} minus the other model on the same test rows; of a metric marked ↓, "
        f"such as an error, below zero is better. {HOW_TO_READ} What each model scores stands with each task. "
        f"{intervals_sentence(evaluation)} {seeds_sentence(evaluation)}"
    )
    heads = ["task", "metric", *(f"minus {baseline}" for baseline in baselines)]
    return Table(heads, lines, notes=[*notes, *([] if others else [how.strip()])])


def intervals_sentence(evaluation: Evaluation) -> str:
    drawn = evaluation.resampled
    if drawn == "rows":
        drawn += " (there are no users)"
    if evaluation.seeds > 1:
        drawn += f" and {evaluation.seeds} seeds"
    return (
        "Test rows; models calibrated and thresholds chosen on validation. Intervals: 95 %, paired bootstrap over "
        f"{drawn}, {evaluation.bootstrap_samples:,} resamples, seed {evaluation.seed}."
    )


def ceiling_sentence(evaluation: Evaluation, task: Task) -> str:
    """'In deviance on visits, multi_task has gone 83.1 % of the way from constant to the ceiling (linear 71.0 %).'"""
    measure = KINDS[task.kind].metric(KINDS[task.kind].ceiling_measure).label
    shares = {
        model: evaluation.score(task.name, model, CEILING_SHARE.name)
        for model in evaluation.models(task.name)
        if model not in (CONSTANT, CEILING)
    }
    share = shares.pop(evaluation.candidate)
    if share.note:
        return f"How far {evaluation.candidate} has come to the ceiling on {task.name} cannot be said: {share.note}."
    others = ", ".join(f"{model} {percent(score.value, 1)}" for model, score in shares.items())
    return (
        f"In {measure} on {task.name}, {evaluation.candidate} has gone {percent(share.value, 1)} of the way from "
        f"constant to the ceiling{f' ({others})' if others else ''}."
    )
