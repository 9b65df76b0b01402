"""Verdicts and differences in words, the same in every section of a page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mtl_pipeline.evaluation.formatting import MISSING, arrow, counted, format_difference, join_words
from mtl_pipeline.evaluation.inference.intervals import BETTER, INCOMPARABLE, UNDECIDED, WORSE
from mtl_pipeline.evaluation.report.document import Cell
from mtl_pipeline.metrics.metric import Metric
from mtl_pipeline.predictions import CHAMPION

Row = Mapping[str, Any]
"""Of a frame of comparisons: `difference`, `low`, `high`, `verdict`, `note`."""

PHRASES = {
    WORSE: "is worse than",
    UNDECIDED: "shows no difference from",
    BETTER: "is better than",
    INCOMPARABLE: "cannot be compared with",
}
COUNTED = {
    BETTER: "is better in",
    WORSE: "worse in",
    UNDECIDED: "shows no difference in",
    INCOMPARABLE: "cannot be compared in",
}
MARKS = {BETTER: " ✓", WORSE: " ✗"}
HOW_TO_READ = (
    "In brackets the 95 % interval. ✓ better, ✗ worse: the whole interval lies on that side of zero; otherwise no "
    "difference is shown, which is not proof that there is none."
)


def labelled(metric: Metric) -> str:
    """'ROC-AUC ↑'."""
    return f"{metric.label} {arrow(metric.higher_is_better)}"


TWO_NETWORKS = (
    "Where the mean predicts, that compares two networks with one: what it gains is no merit of joint "
    "training."
)


def outcome_of(row: Row) -> str:
    """The verdict, or INCOMPARABLE where there is no interval to base one on."""
    return INCOMPARABLE if row["low"] is None or math.isnan(row["low"]) else row["verdict"]


def marked(row: Row, interval: Sequence[str] = ("low", "high")) -> Cell:
    """'+0.012 [+0.008, +0.016] ✓'. `interval` names the columns of its ends; what is null is missing."""
    numbers = (row[name] for name in ("difference", *interval))
    difference, ends = format_difference(*(math.nan if number is None else number for number in numbers))
    if ends == MISSING:
        return Cell(difference)
    mark = MARKS.get(row["verdict"], "")
    return Cell(f"{difference} {ends}{mark}", row["verdict"] if mark else "")


def notes_of(rows: Iterable[Row], *names: str) -> list[str]:
    """'liked, linear: only one class': each note once, after what the columns `names` say of its row."""
    noted = [(", ".join(str(row[name]) for name in names), row["note"]) for row in rows if row["note"]]
    return [f"{where}: {note}" for where, note in dict.fromkeys(noted)]


def clauses(phrases: Mapping[str, str], outcomes: Mapping[str, str]) -> list[str]:
    """['is worse than linear', 'is better than constant and popularity'], in the order of `phrases`, which has a phrase
    for each outcome. `outcomes`: name → outcome."""
    named = {
        phrase: [name for name, outcome in outcomes.items() if outcome == of_phrase]
        for of_phrase, phrase in phrases.items()
    }
    return [f"{phrase} {join_words(names)}" for phrase, names in named.items() if names]


def verdict_sentence(where: str, candidate: str, outcomes: Mapping[str, str]) -> str:
    """'On liked, multi_task is worse than linear; it shows no difference from popularity; it is better than constant.'

    What speaks against the candidate comes first. A champion is no baseline, and has a sentence of its own.
    """
    baselines = {model: outcome for model, outcome in outcomes.items() if model != CHAMPION}
    if not baselines:
        said = "has no baseline to be compared with"
    elif len(baselines) > 1 and set(baselines.values()) == {BETTER}:
        said = "is better than every baseline"
    else:
        said = "; it ".join(clauses(PHRASES, baselines))
    champion = f" It {PHRASES[outcomes[CHAMPION]]} the champion." if CHAMPION in outcomes else ""
    return f"On {where}, {candidate} {said}.{champion}"


def overall_sentence(candidate: str, by_task: Iterable[Mapping[str, str]]) -> str:
    """'In 12 comparisons with baselines on the tasks' headline metrics, multi_task is better in 9, worse in 1, …'"""
    pairs = [pair for outcomes in by_task for pair in outcomes.items()]
    baselines = [outcome for model, outcome in pairs if model != CHAMPION]
    champion = [outcome for model, outcome in pairs if model == CHAMPION]
    first = count_sentence("baselines", candidate, baselines)
    return f"{first} {count_sentence('the champion', 'it', champion)}" if champion else first


def count_sentence(whom: str, candidate: str, outcomes: Sequence[str]) -> str:
    counts = [
        f"{phrase} {outcomes.count(outcome)}"
        for outcome, phrase in COUNTED.items()
        if outcome != INCOMPARABLE or outcome in outcomes
    ]
    return (
        f"In {counted(len(outcomes), 'comparison')} with {whom} on the tasks' headline metrics, {candidate} "
        f"{join_words(counts)}."
    )
