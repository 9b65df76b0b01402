"""What the text vectors bring: the same network with them and without."""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl

from mtl_pipeline.evaluation.formatting import MISSING, format_value, join_words
from mtl_pipeline.evaluation.inference.intervals import BETTER, UNDECIDED, WORSE
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Section, Table
from mtl_pipeline.evaluation.report.sections.slices import count_text, labels_in_words
from mtl_pipeline.evaluation.report.wording import labelled, marked
from mtl_pipeline.evaluation.studies.scoring import Evaluation, in_headline
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.spec import Task

HEADS = ("task", "part", "test rows", "users", "items", "positives or mean", "metric", "with text", "without")


def sections(evaluation: Evaluation, context: ReportContext) -> list[Section]:
    text = context.part("text")
    if text is None:
        return []
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
    rows = [(task, row) for task in tasks for row in in_headline(text, task).to_dicts()]
    return Table(
        [*HEADS, "difference"],
        [
            [
                task.name,
                row["part"],
                f"{row['rows']:,}",
                count_text(row["users"]),
                count_text(row["items"]),
                labels_in_words(row),
                labelled(KINDS[task.kind].headline),
                format_value(row["with_text"]),
                MISSING if row["without_text"] is None else format_value(row["without_text"]),
                marked(row["difference"], row["low"], row["high"], row["verdict"]),
            ]
            for task, row in rows
        ],
        notes=[f"{task.name}, {row['part']}: {row['note']}" for task, row in rows if row["note"]],
    )


def text_sentences(text: pl.DataFrame, tasks: Sequence[Task], candidate: str) -> list[str]:
    """'On watched, multi_task is better with text on all test rows and new items; no difference is shown on known
    items.' One for each task. What speaks against text comes first."""
    phrases = {
        WORSE: f"{candidate} is worse with text on",
        UNDECIDED: "no difference is shown on",
        BETTER: f"{candidate} is better with text on",
        "": "nothing can be said on",
    }
    sentences = []
    for task in tasks:
        verdicts = {
            row["part"]: "" if row["low"] is None or math.isnan(row["low"]) else row["verdict"]
            for row in in_headline(text, task).to_dicts()
        }
        clauses = [
            f"{phrase} {join_words([part for part, found in verdicts.items() if found == verdict])}"
            for verdict, phrase in phrases.items()
            if verdict in verdicts.values()
        ]
        if clauses:
            sentences.append(f"On {task.name}, {'; '.join(clauses)}.")
    return sentences
