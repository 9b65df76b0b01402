"""Whether the candidate beats each model: in words, and every difference with its interval, each once."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from mtl_pipeline.evaluation.formatting import format_value
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Cell, Section, Table
from mtl_pipeline.evaluation.report.sections.seeds import seeds_sentence
from mtl_pipeline.evaluation.report.wording import (
    HOW_TO_READ,
    ceiling_sentence,
    labelled,
    lines_of,
    overall_sentence,
    verdict_sentence,
)
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.kinds import KINDS


def sections(evaluation: Evaluation, context: ReportContext) -> list[Section]:
    candidate = evaluation.candidate
    by_task = {
        name: lines_of(frame.filter(pl.col("metric") == KINDS[kind].headline.name), kind)
        for name, kind, frame in compared(evaluation)
    }
    chains = set(evaluation.chain_comparisons["chain"])
    ceilings = [ceiling_sentence(evaluation, task) for task in evaluation.tasks]
    first = differences(evaluation, others=False)
    second = differences(evaluation, others=True)
    own_lines = [line for name, lines in by_task.items() if name not in chains for line in lines]
    return [
        Section(
            "Verdict",
            sentences=[
                f"Does {candidate} predict the untouched test rows better than simpler models? "
                f"{overall_sentence(candidate, own_lines)}",
                *context.caveats,
            ],
            points=[
                *(
                    verdict_sentence(f"the whole chain {name}" if name in chains else name, candidate, lines)
                    for name, lines in by_task.items()
                ),
                *filter(None, ceilings),
            ],
            tables=[first] if first.rows else [],
            details=[Section("The other compared metrics", tables=[second])] if second.rows else [],
        )
    ]


def compared(evaluation: Evaluation) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """Name, kind and comparisons of every task, then of every whole chain of tasks."""
    for task in evaluation.tasks:
        yield task.name, task.kind, evaluation.comparisons.filter(pl.col("task") == task.name)
    for frame in evaluation.chain_comparisons.partition_by("chain", maintain_order=True):
        yield frame["chain"][0], "binary", frame


def differences(evaluation: Evaluation, *, others: bool) -> Table:
    """A row for each task and whole chain in its headline metric, or in the others that are compared; a column for each
    model that the candidate is compared with."""
    frames = [evaluation.comparisons, evaluation.chain_comparisons]
    baselines = list(dict.fromkeys(name for frame in frames for name in frame["baseline"]))
    rows: list[list[Cell | str]] = []
    notes: dict[str, None] = {}
    for name, kind, frame in compared(evaluation):
        for shown in KINDS[kind].compared[1:] if others else KINDS[kind].compared[:1]:
            of_metric = frame.filter(pl.col("metric") == shown)
            lines = {line.baseline: line for line in lines_of(of_metric, kind)}
            if lines:
                value = format_value(of_metric["candidate_value"][0])
                cells = [lines[baseline].cell if baseline in lines else "" for baseline in baselines]
                rows.append([name, labelled(KINDS[kind].metric(shown)), value, *cells])
            notes |= {f"{name}: {line.note}": None for line in lines.values() if line.note}
    how = (
        f"Differences are {evaluation.candidate} minus the other model on the same test rows; of a metric marked ↓, "
        f"such as an error, below zero is better. {HOW_TO_READ} {intervals_sentence(evaluation)} "
        f"{seeds_sentence(evaluation)}"
    )
    return Table(
        ["task", "metric", evaluation.candidate, *(f"minus {baseline}" for baseline in baselines)],
        rows,
        notes=[*notes, *([] if others else [how.strip()])],
    )


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
