"""What the text vectors bring: the same network with them and without."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from mtl_pipeline.evaluation.formatting import format_value
from mtl_pipeline.evaluation.inference.intervals import BETTER, INCOMPARABLE, UNDECIDED, WORSE
from mtl_pipeline.evaluation.report.document import Section, Table
from mtl_pipeline.evaluation.report.sections.inside.slices import labels_in_words
from mtl_pipeline.evaluation.report.wording import clauses, labelled, marked, notes_of, outcome_of
from mtl_pipeline.evaluation.studies.scoring import Evaluation, in_headline
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.spec import Task

HEADS = ("task", "part", "test rows", "users", "items", "positives or mean", "metric", "with text", "without")


def sections(evaluation: Evaluation, text: pl.DataFrame) -> list[Section]:
    how = (
        f"{evaluation.candidate} against without_text, the same network on the same features but no text vectors, "
        f"neither of items nor of users, each trained with {evaluation.seeds} seeds. Values are means over the seeds, "
        "differences are with text minus without. Cold items are those with which the training split has no "
        "interaction; a sampled negative is none. Intervals cover "
        f"{evaluation.resampled} and seeds; text.parquet has the other metrics."
    )
    return [
        Section(
            "Text vectors",
            points=text_sentences(text, evaluation.tasks, evaluation.candidate),
            details=[Section("With text and without", [how], tables=[text_table(text, evaluation.tasks)])],
        )
    ]


def text_table(text: pl.DataFrame, tasks: Sequence[Task]) -> Table:
    shown = [(task, row) for task in tasks for row in in_headline(text, task).to_dicts()]
    rows = [
        [
            task.name,
            row["part"],
            *(format_value(row[name], 0) for name in ("rows", "users", "items")),
            labels_in_words(row),
            labelled(KINDS[task.kind].headline),
            *(format_value(row[name]) for name in ("with_text", "without_text")),
            marked(row),
        ]
        for task, row in shown
    ]
    return Table([*HEADS, "difference"], rows, notes=notes_of((row for _, row in shown), "task", "part"))


def text_sentences(text: pl.DataFrame, tasks: Sequence[Task], candidate: str) -> list[str]:
    """'On watched, multi_task is better with text on all test rows and new items; no difference is shown on known
    items.' One for each task. What speaks against text comes first."""
    phrases = {
        WORSE: f"{candidate} is worse with text on",
        UNDECIDED: "no difference is shown on",
        BETTER: f"{candidate} is better with text on",
        INCOMPARABLE: "nothing can be said on",
    }
    outcomes = {
        task.name: {row["part"]: outcome_of(row) for row in in_headline(text, task).iter_rows(named=True)}
        for task in tasks
    }
    return [
        f"On {task}, {'; '.join(clauses(phrases, of_parts))}."
        for task, of_parts in outcomes.items()
        if of_parts
    ]
