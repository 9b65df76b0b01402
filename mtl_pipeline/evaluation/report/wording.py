"""Numbers and verdicts in words, the same in the HTML and the Markdown report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from mtl_pipeline.evaluation.formatting import MISSING, arrow, format_difference, format_value, join_words
from mtl_pipeline.evaluation.inference.intervals import BETTER, INCOMPARABLE, UNDECIDED, WORSE
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.metrics.metric import CEILING_SHARE
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


@dataclass(frozen=True)
class ComparisonLine:
    """The candidate against one baseline on one metric, ready to print."""

    baseline: str
    metric: str
    arrow: str
    verdict: str
    difference: str
    interval: str
    note: str

    @property
    def outcome(self) -> str:
        """The verdict, or 'incomparable' where there is no interval to found one on."""
        return INCOMPARABLE if self.interval == MISSING else self.verdict


@dataclass(frozen=True)
class TaskVerdict:
    """The headline metric of one task."""

    task: str
    kind: str
    metric: str
    arrow: str
    value: str
    sentence: str
    ceiling: str
    """How far the candidate has come to the best possible; empty where nobody knows that."""
    rows: int
    users: int | None
    """None where there are no users."""
    lines: list[ComparisonLine]


def comparison_lines(evaluation: Evaluation, task: str, kind: str) -> list[ComparisonLine]:
    """Every comparison of one task, the headline metric first."""
    return lines_of(evaluation.comparisons.filter(pl.col("task") == task), kind)


def chain_lines(evaluation: Evaluation, chain: str) -> list[ComparisonLine]:
    """Every comparison of a whole chain, the headline metric first."""
    return lines_of(evaluation.chain_comparisons.filter(pl.col("chain") == chain), "binary")


def lines_of(comparisons: pl.DataFrame, kind: str) -> list[ComparisonLine]:
    lines = []
    for row in comparisons.iter_rows(named=True):
        difference, interval = format_difference(row["difference"], row["low"], row["high"])
        compared = KINDS[kind].metric(row["metric"])
        lines.append(
            ComparisonLine(
                baseline=row["baseline"],
                metric=compared.label,
                arrow=arrow(compared.higher_is_better),
                verdict=row["verdict"],
                difference=difference,
                interval=interval,
                note=row["note"],
            )
        )
    return lines


def task_verdicts(evaluation: Evaluation) -> list[TaskVerdict]:
    """One verdict per task, on its headline metric."""
    verdicts = []
    for task in evaluation.tasks:
        first = KINDS[task.kind].headline
        lines = [
            line for line in comparison_lines(evaluation, task.name, task.kind) if line.metric == first.label
        ]
        test_rows = evaluation.metrics.filter(pl.col("task") == task.name, pl.col("split") == "test")
        score = evaluation.score(task.name, evaluation.candidate, first.name)
        verdicts.append(
            TaskVerdict(
                task=task.name,
                kind=task.kind,
                metric=first.label,
                arrow=arrow(first.higher_is_better),
                value=format_value(score.value),
                sentence=verdict_sentence(task.name, evaluation.candidate, lines),
                ceiling=ceiling_sentence(evaluation, task),
                rows=test_rows["rows"][0],
                users=test_rows["users"][0],
                lines=lines,
            )
        )
    return verdicts


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


def rows_sentence(verdict: TaskVerdict) -> str:
    """'53,000 test rows of 166 users, where this label was observed.'"""
    users = "" if verdict.users is None else f" of {verdict.users:,} users"
    return f"{verdict.rows:,} test rows{users}, where this label was observed."


def overall_sentence(candidate: str, verdicts: list[TaskVerdict]) -> str:
    """'In 12 comparisons with baselines on the tasks' headline metrics, multi_task is better in 9, worse in 1, …'"""
    baselines, champion = apart([line for verdict in verdicts for line in verdict.lines])
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
