"""What several seeds say, in the report: how much they differ, what text brings, or why they were left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from mtl_pipeline.evaluation.formatting import (
    MISSING,
    MOST_DECIMALS,
    arrow,
    decimals_for,
    format_difference,
    format_value,
    join_words,
)
from mtl_pipeline.evaluation.inference.intervals import BETTER, UNDECIDED, WORSE
from mtl_pipeline.evaluation.report.markdown import escape, markdown_table
from mtl_pipeline.evaluation.report.slice_report import labels_in_words
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.predictions import CHAMPION
from mtl_pipeline.spec import Task

FEW_SEEDS = 5


@dataclass(frozen=True)
class SeedLine:
    """One model on one task, in one metric."""

    task: str
    metric: str
    arrow: str
    model: str
    mean: str
    deviation: str
    lowest: str
    highest: str
    note: str

    @property
    def cells(self) -> list[str]:
        return [self.mean, self.deviation, self.lowest, self.highest]


@dataclass(frozen=True)
class TextLine:
    """With text against without, on one part of the test rows."""

    task: str
    part: str
    rows: str
    users: str
    items: str
    labels: str
    metric: str
    arrow: str
    with_text: str
    without_text: str
    difference: str
    interval: str
    verdict: str
    """Empty where there is no interval."""
    note: str


def seed_lines(seeds: pl.DataFrame, tasks: Sequence[Task]) -> list[SeedLine]:
    """The compared metrics of the frame of `measure_seeds`, a line for each model."""
    return [
        SeedLine(
            task=task.name,
            metric=KINDS[task.kind].metric(name).label,
            arrow=arrow(KINDS[task.kind].metric(name).higher_is_better),
            model=row["model"],
            **spread_in_words(row),
            note=row["note"],
        )
        for task in tasks
        for name in KINDS[task.kind].compared
        for row in seeds.filter(pl.col("task") == task.name, pl.col("metric") == name).iter_rows(named=True)
    ]


def spread_in_words(row: dict) -> dict[str, str]:
    """Mean, deviation, lowest and highest, with as many decimals as show two digits of the deviation."""
    values = {name: row[name] for name in ("mean", "lowest", "highest")} | {
        "deviation": row["standard_deviation"]
    }
    decimals = decimals_for(abs(row["mean"])) if math.isfinite(row["mean"]) else 0
    if 0 < values["deviation"] < 1:
        decimals = min(max(decimals, 1 - math.floor(math.log10(values["deviation"]))), MOST_DECIMALS)
    return {
        name: MISSING if math.isnan(value) else f"{value:,.{decimals}f}".replace("-", "−")
        for name, value in values.items()
    }


def text_lines(text: pl.DataFrame, tasks: Sequence[Task]) -> list[TextLine]:
    """The headline metric of the frame of `measure_text`."""
    return [text_line(row, task) for task in tasks for row in headline_rows(text, task)]


def headline_rows(text: pl.DataFrame, task: Task) -> list[dict]:
    return text.filter(
        pl.col("task") == task.name, pl.col("metric") == KINDS[task.kind].headline.name
    ).to_dicts()


def text_line(row: dict, task: Task) -> TextLine:
    difference, interval = difference_of(row)
    return TextLine(
        task=task.name,
        part=row["part"],
        rows=f"{row['rows']:,}",
        users=count(row["users"]),
        items=count(row["items"]),
        labels=labels_in_words(row),
        metric=KINDS[task.kind].headline.label,
        arrow=arrow(KINDS[task.kind].headline.higher_is_better),
        with_text=format_value(row["with_text"]),
        without_text=MISSING if row["without_text"] is None else format_value(row["without_text"]),
        difference=difference,
        interval=interval,
        verdict="" if interval == MISSING else row["verdict"],
        note=row["note"],
    )


def count(number: int | None) -> str:
    return MISSING if number is None else f"{number:,}"


def difference_of(row: dict) -> tuple[str, str]:
    return format_difference(
        *(float("nan") if row[name] is None else row[name] for name in ("difference", "low", "high"))
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
        lines = [text_line(row, task) for row in headline_rows(text, task)]
        clauses = [
            f"{phrase} {join_words([line.part for line in lines if line.verdict == verdict])}"
            for verdict, phrase in phrases.items()
            if any(line.verdict == verdict for line in lines)
        ]
        if clauses:
            sentences.append(f"On {task.name}, {'; '.join(clauses)}.")
    return sentences


def seeds_sentence(evaluation: Evaluation) -> str:
    """What a difference is where there are several seeds; empty where there is one."""
    if evaluation.seeds == 1:
        return ""
    sentences = [
        f"Here each difference is the mean over {evaluation.seeds} seeds: {evaluation.candidate} with each seed "
        "against the baseline with the same seed, where it has one. Its interval covers seeds too.",
        "The tables of models, whole chains, ranked lists and slices show the one model that is put forward.",
    ]
    if CHAMPION in evaluation.comparisons["baseline"]:
        sentences.append("The champion is compared with that one.")
    if evaluation.seeds < FEW_SEEDS:
        sentences.append("So few seeds make rough intervals.")
    return " ".join(sentences)


def seeds_markdown(seeds: pl.DataFrame, tasks: Sequence[Task]) -> str:
    """Empty where there is one seed."""
    rows = [
        [escape(line.task), f"{line.metric} {line.arrow}", escape(line.model), *line.cells]
        for line in seed_lines(seeds, tasks)
    ]
    heads = ["task", "metric", "model", "mean", "standard deviation", "lowest", "highest"]
    return markdown_table(heads, rows) if rows else ""


def text_markdown(text: pl.DataFrame, tasks: Sequence[Task], candidate: str) -> str:
    """Empty where nothing was trained without text."""
    rows = [
        [
            escape(line.task),
            line.part,
            line.rows,
            line.users,
            line.items,
            line.labels,
            f"{line.metric} {line.arrow}",
            line.with_text,
            line.without_text,
            f"{line.difference} {line.interval}" if line.verdict else escape(line.note),
            line.verdict,
        ]
        for line in text_lines(text, tasks)
    ]
    heads = ["task", "part", "test rows", "users", "items", "positives or mean", "metric"]
    heads += ["with text", "without", "difference", ""]
    sentences = "\n".join(f"- {escape(sentence)}" for sentence in text_sentences(text, tasks, candidate))
    return f"{sentences}\n\n{markdown_table(heads, rows)}" if rows else ""
