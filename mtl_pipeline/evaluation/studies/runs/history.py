"""What past evaluations found, a line of JSON each, so that a number can be followed over months.

The whole file is replaced by a rename, so a process that is killed leaves it as it was, or one record longer. The same
model on the same examples is one point, however often it is evaluated: the latest record stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from pydantic import TypeAdapter

from mtl_pipeline.json_lines import read_lines, write_lines
from mtl_pipeline.predictions import CHAMPION
from mtl_pipeline.publishing import locked

if TYPE_CHECKING:
    from mtl_pipeline.champions import Decision
    from mtl_pipeline.evaluation.facts import Facts
    from mtl_pipeline.evaluation.studies.scoring import Evaluation
    from mtl_pipeline.spec import Task


@dataclass(frozen=True)
class Difference:
    """The candidate minus another model, in one metric."""

    difference: float | None
    low: float | None
    high: float | None
    """Ends of the 95 % interval; None where there is none."""
    verdict: str


@dataclass(frozen=True)
class TaskRecord:
    """One task on the test rows."""

    task: str
    kind: str
    rows: int
    """Where its label was observed."""
    values: dict[str, dict[str, float | None]]
    """Model → metric → value; None where it is undefined."""
    against: dict[str, dict[str, Difference]]
    """Model → compared metric → the candidate minus that model."""

    def value(self, model: str, metric: str) -> float:
        """NaN where the model was not measured, or the metric undefined."""
        value = self.values.get(model, {}).get(metric)
        return math.nan if value is None else value

    def difference(self, model: str, metric: str) -> Difference | None:
        return self.against.get(model, {}).get(metric)


@dataclass(frozen=True)
class Record:
    """One evaluation."""

    time: str
    """Of the run, ISO, UTC."""
    model: str
    """Fingerprint of the model that was evaluated."""
    champion: str | None
    """Fingerprint of the champion before; None where there was none."""
    promoted: bool
    """Whether the evaluation said that the model becomes champion."""
    candidate: str
    """Under which name the model stands in `values`."""
    examples: str
    """Data version of the examples."""
    test_from: str
    test_until: str
    """First and newest time of the test rows, ISO; empty where there is no time."""
    rows: dict[str, int]
    """By split."""
    label_means: dict[str, float | None]
    """By task, on the test rows."""
    rejected_rows: dict[str, int]
    """By table and reason."""
    tasks: list[TaskRecord]
    caveats: list[str] = field(default_factory=list)
    """What a reader of these numbers has to know as well."""
    quick: bool = False
    """Whether the model was made for a first look only."""

    @property
    def evaluated(self) -> tuple[str, str]:
        """Which model on which examples: two records of the same are one point."""
        return self.model, self.examples

    @property
    def is_champion(self) -> bool:
        """Whether the model was the champion already."""
        return self.model == self.champion

    def task(self, name: str) -> TaskRecord | None:
        return next((task for task in self.tasks if task.task == name), None)


RECORD = TypeAdapter(Record)
"""Ignores what a newer version may have added to a line."""


def make_record(
    evaluation: Evaluation, decision: Decision, facts: Facts, *, time: str, examples: str
) -> Record:
    """What is worth keeping of an evaluation. `time` is ISO, `examples` a data version."""
    first, last = facts.get("split_boundaries", {}).get("test", ("", ""))
    means = facts.get("label_rates", {}).get("test", {})
    return Record(
        time=time,
        model=decision.challenger,
        champion=decision.champion,
        promoted=decision.promote,
        candidate=evaluation.candidate,
        examples=examples,
        test_from=first,
        test_until=last,
        rows=dict(facts.get("rows_by_split", {})),
        label_means={task.name: number(means.get(task.name)) for task in evaluation.tasks},
        rejected_rows=dict(facts.get("rejected_rows", {})),
        tasks=[task_record(evaluation, task) for task in evaluation.tasks],
    )


def task_record(evaluation: Evaluation, task: Task) -> TaskRecord:
    of_task = pl.col("task") == task.name
    metrics = evaluation.metrics.filter(of_task, pl.col("split") == "test")
    values: dict[str, dict[str, float | None]] = {}
    for row in metrics.iter_rows(named=True):
        values.setdefault(row["model"], {})[row["metric"]] = number(row["value"])
    against: dict[str, dict[str, Difference]] = {}
    for row in evaluation.comparisons.filter(of_task).iter_rows(named=True):
        against.setdefault(row["baseline"], {})[row["metric"]] = Difference(
            number(row["difference"]), number(row["low"]), number(row["high"]), row["verdict"]
        )
    return TaskRecord(task.name, task.kind, int(metrics["rows"][0]), values, against)


def number(value: float | None) -> float | None:
    """JSON knows no NaN."""
    return None if value is None or not math.isfinite(value) else float(value)


def read_records(path: Path) -> list[Record]:
    """Oldest first; empty where nothing was evaluated yet. Raises UserError for a line that is none."""
    return read_lines(
        path,
        lambda line: RECORD.validate_json(line, strict=True),
        "that evaluation is missing in the figure of past evaluations then",
    )


def with_record(earlier: Sequence[Record], record: Record) -> list[Record]:
    """All records, the new one in place of an earlier one of the same model and examples. A model that is evaluated
    again after its promotion is the champion itself; so the promotion, and the comparison with the champion before,
    stay as they were recorded."""
    same = [one for one in earlier if one.evaluated == record.evaluated]
    before = next((one for one in same if not one.is_champion), None)
    if before and record.is_champion:
        record = with_champion_of(before, record)
    record = replace(record, promoted=record.promoted or any(one.promoted for one in same))
    return [*(one for one in earlier if one not in same), record]


def with_champion_of(before: Record, record: Record) -> Record:
    """The record, except for what it says about the champion, which stays as it was before."""
    tasks = []
    for task in record.tasks:
        values, against = dict(task.values), dict(task.against)
        if then := before.task(task.task):
            values |= {CHAMPION: then.values[CHAMPION]} if CHAMPION in then.values else {}
            against |= {CHAMPION: then.against[CHAMPION]} if CHAMPION in then.against else {}
        tasks.append(replace(task, values=values, against=against))
    return replace(record, champion=before.champion, tasks=tasks)


def append_record(path: Path, record: Record) -> list[Record]:
    """Add a record to the history, see `with_record`, and return all. Raises UserError when it cannot be read."""
    with locked(path):
        records = with_record(read_records(path), record)
        write_lines(path, [asdict(one) for one in records])
    return records
