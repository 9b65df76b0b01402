"""Numbers and verdicts in words, the same in the HTML and the Markdown report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from mtl_pipeline.evaluation.formatting import MISSING, arrow, format_difference, format_value, join_words
from mtl_pipeline.evaluation.inference.intervals import BETTER, INCOMPARABLE, UNDECIDED, WORSE
from mtl_pipeline.evaluation.report.document import Cell
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.metrics.metric import CEILING_SHARE, Metric
from mtl_pipeline.predictions import CEILING, CHAMPION

if TYPE_CHECKING:
    from mtl_pipeline.evaluation.studies.scoring import Evaluation
    from mtl_pipeline.spec import Task

PHRASES = {
    WORSE: "is worse than",
    UNDECIDED: "shows no difference from",
    BETTER: "is better than",
    INCOMPARABLE: "cannot be compared with",
}
MARKS = {BETTER: " ✓", WORSE: " ✗"}
HOW_TO_READ = (
    "In brackets the 95 % interval. ✓ better, ✗ worse: the whole interval lies on that side of zero; otherwise no "
    "difference is shown, which is not proof that there is none."
)


@dataclass(frozen=True)
class ComparisonLine:
    """The candidate against one baseline on one metric."""

    baseline: str
    metric: str
    """'ROC-AUC ↑'."""
    outcome: str
    """The verdict, or 'incomparable' where there is no interval to found one on."""
    cell: Cell
    note: str


def lines_of(comparisons: pl.DataFrame, kind: str) -> list[ComparisonLine]:
    """Rows of `comparisons` or `chain_comparisons`; of each task the headline metric first."""
    return [
        ComparisonLine(
            baseline=row["baseline"],
            metric=labelled(KINDS[kind].metric(row["metric"])),
            outcome=INCOMPARABLE if math.isnan(row["low"]) else row["verdict"],
            cell=marked(row["difference"], row["low"], row["high"], row["verdict"]),
            note=row["note"],
        )
        for row in comparisons.iter_rows(named=True)
    ]


def verdict_sentence(where: str, candidate: str, lines: list[ComparisonLine]) -> str:
    """'On liked, multi_task is worse than linear; it shows no difference from popularity; it is better than constant.'

    What speaks against the candidate comes first. A champion is no baseline, and has a sentence of its own.
    """
    baselines, champion = apart(lines)
    if not baselines:
        sentences = [f"On {where}, {candidate} has no baseline to be compared with."]
    elif {line.outcome for line in baselines} == {BETTER} and len(baselines) > 1:
        sentences = [f"On {where}, {candidate} is better than every baseline."]
    else:
        clauses = [
            f"{phrase} {join_words([line.baseline for line in baselines if line.outcome == outcome])}"
            for outcome, phrase in PHRASES.items()
            if outcome in [line.outcome for line in baselines]
        ]
        sentences = [f"On {where}, {candidate} {'; it '.join(clauses)}."]
    sentences += [f"It {PHRASES[line.outcome]} the champion." for line in champion]
    return " ".join(sentences)


def apart(lines: list[ComparisonLine]) -> tuple[list[ComparisonLine], list[ComparisonLine]]:
    """Those against baselines, and those against the champion."""
    return (
        [line for line in lines if line.baseline != CHAMPION],
        [line for line in lines if line.baseline == CHAMPION],
    )


def labelled(metric: Metric) -> str:
    """'ROC-AUC ↑'."""
    return f"{metric.label} {arrow(metric.higher_is_better)}"


def marked(difference: float | None, low: float | None, high: float | None, verdict: str) -> Cell:
    """'+0.012 [+0.008, +0.016] ✓': better, or worse, where the whole interval says so. What is null is missing."""
    text, interval = format_difference(
        *(math.nan if value is None else value for value in (difference, low, high))
    )
    if interval == MISSING:
        return Cell(text)
    return Cell(f"{text} {interval}{MARKS.get(verdict, '')}", verdict if verdict in MARKS else "")


def ceiling_sentence(evaluation: Evaluation, task: Task) -> str:
    """'In log-loss, multi_task has gone 83 % of the way from constant (0.512) to the ceiling (0.431).'"""
    if CEILING_SHARE.name not in evaluation.metric_names(task.name):
        return ""
    measure = KINDS[task.kind].metric(KINDS[task.kind].ceiling_measure)
    share = evaluation.score(task.name, evaluation.candidate, CEILING_SHARE.name)
    if share.note:
        return f"How far {evaluation.candidate} has come to the ceiling cannot be said: {share.note}."
    constant, ours, best = (
        format_value(evaluation.score(task.name, model, measure.name).value)
        for model in ("constant", evaluation.candidate, CEILING)
    )
    way = f"{share.value:.0%}".replace("%", "\u00a0%").replace("-", "−")
    return (
        f"In {measure.label}, {evaluation.candidate} ({ours}) has gone {way} of the way from constant "
        f"({constant}) to the ceiling ({best})."
    )


def overall_sentence(candidate: str, lines: list[ComparisonLine]) -> str:
    """'In 12 comparisons with baselines on the tasks' headline metrics, multi_task is better in 9, worse in 1, …'"""
    baselines, champion = apart(lines)
    sentences = [f"{counted(baselines, 'with baselines')}, {candidate} {outcomes_sentence(baselines)}."]
    if champion:
        sentences.append(f"{counted(champion, 'with the champion')}, it {outcomes_sentence(champion)}.")
    return " ".join(sentences)


def counted(lines: list[ComparisonLine], whom: str) -> str:
    comparisons = "1 comparison" if len(lines) == 1 else f"{len(lines)} comparisons"
    return f"In {comparisons} {whom} on the tasks' headline metrics"


def outcomes_sentence(lines: list[ComparisonLine]) -> str:
    outcomes = [line.outcome for line in lines]
    clauses = [
        f"is better in {outcomes.count(BETTER)}",
        f"worse in {outcomes.count(WORSE)}",
        f"shows no difference in {outcomes.count(UNDECIDED)}",
    ]
    if INCOMPARABLE in outcomes:
        clauses.append(f"cannot be compared in {outcomes.count(INCOMPARABLE)}")
    return join_words(clauses)
