"""What only shows when a defs.yaml is held against its SQL, its folder and Dagster: found at load."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import dagster as dg

from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.yaml_lines import line_of
from mtl_pipeline.errors import UserError
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.binding import delivered_columns, open_binder
from mtl_pipeline.warehouse.reading.dialect import PROVENANCE_COLUMNS

OWN_COLUMNS = (*PROVENANCE_COLUMNS, "rejection")
"""What every SQL file delivers besides its columns."""


CATEGORY = "a string, a list of strings, a whole number or a BOOLEAN"
SQL_TYPES = {
    "a number": r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*|BOOLEAN",
    "a string": r"VARCHAR",
    "a time": r"DATE|TIMESTAMP.*",
    CATEGORY: (r"VARCHAR(\[\])?|U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|BOOLEAN"),
}
"""Patterns of DuckDB's types, by what a column holds."""
READERS = {"a number": "decimal_number", "a time": "moment"}
"""The macros of warehouse/sql/macros.sql that make such a column."""


@dataclass(frozen=True)
class Problem:
    """What is wrong, and the keys below `attributes` that lead there."""

    place: tuple[str | int, ...]
    message: str


@dataclass(frozen=True)
class DeclaredColumn:
    """A column that a table must have, why, and the keys below `attributes` that say so."""

    name: str
    purpose: str
    place: tuple[str | int, ...]
    sort: str = ""
    """What it must hold, a key of SQL_TYPES; empty: anything."""


def check_declaration(file: Path, pipeline: PipelineContext) -> None:
    """Refuse what the specification alone cannot know to be wrong.

    Takes milliseconds: SQL is bound against the headers of the raw files, and no row is read.
    Raises UserError with file, line, what is wrong and what is allowed.
    """
    problems = [*schedule_problems(pipeline.spec), *column_problems(pipeline)]
    if problems:
        raise UserError("\n".join(describe(file, problem) for problem in problems))


def describe(file: Path, problem: Problem) -> str:
    return f"{file}:{line_of(file, ('attributes', *problem.place))}: {problem.message}"


def schedule_problems(spec: PipelineSpec) -> Iterator[Problem]:
    try:
        dg.ScheduleDefinition(
            job_name="nightly", cron_schedule=spec.schedule.cron, execution_timezone=spec.schedule.timezone
        )
    except dg.DagsterInvalidDefinitionError:
        yield Problem(
            ("schedule", "cron"),
            f"schedule.cron: not a cron schedule: '{spec.schedule.cron}'; it has five fields: "
            "minute, hour, day of the month, month, day of the week",
        )


def column_problems(pipeline: PipelineContext) -> Iterator[Problem]:
    """The columns that defs.yaml declares and the SQL does not deliver."""
    with open_binder() as connection:
        for table in pipeline.spec.tables:
            delivered = delivered_columns(connection, pipeline.paths, pipeline.spec, table)
            if delivered is None:
                continue
            for column in declared_columns(pipeline.spec, table):
                if message := what_is_wrong(pipeline, table, column, delivered):
                    yield Problem(column.place, f"{column.purpose}: {message}")


def what_is_wrong(
    pipeline: PipelineContext, table: str, column: DeclaredColumn, delivered: dict[str, str]
) -> str | None:
    sql = f"sql/{pipeline.name}/{table}.sql"
    if column.name not in delivered:
        others = [name for name in delivered if name not in OWN_COLUMNS]
        similar = did_you_mean(column.name, others)
        return f"{sql} delivers no column {column.name}{similar}; it delivers: {', '.join(others)}"
    type_ = delivered[column.name]
    if column.sort and not re.fullmatch(f'{SQL_TYPES[column.sort]}|"NULL"', type_):
        remedy = f": {READERS[column.sort]}({column.name}) makes it one" if column.sort in READERS else ""
        return f"{sql} delivers {column.name} as {type_}; it must be {column.sort}{remedy}"
    return None


def did_you_mean(name: str, known: list[str]) -> str:
    similar = get_close_matches(name, known, n=1)
    return f" (did you mean {similar[0]}?)" if similar else ""


def declared_columns(spec: PipelineSpec, table: str) -> list[DeclaredColumn]:
    """Every column that `table` must have, once each."""
    wanted = [*key_columns(spec, table), *feature_columns(spec, table)]
    wanted += [DeclaredColumn(name, f"rows of {table}", ("raw", table)) for name in OWN_COLUMNS]
    return list({column.name: column for column in reversed(wanted)}.values())[::-1]


def key_columns(spec: PipelineSpec, table: str) -> Iterator[DeclaredColumn]:
    if table != "interactions":
        yield DeclaredColumn(f"{table.removesuffix('s')}_id", f"key of {table}", ("raw", table))
        if table == "items" and spec.available_from:
            yield DeclaredColumn(spec.available_from, "available_from", ("available_from",), "a time")
        return
    if spec.timed:
        yield DeclaredColumn("timestamp", "time of the interactions", ("raw", "interactions"), "a time")
    for position, name in enumerate(spec.interaction_key):
        yield DeclaredColumn(name, "interaction_key", ("interaction_key", position))
    for position, name in enumerate(spec.ids):
        yield DeclaredColumn(name, "ids", ("ids", position))
    for position, name in enumerate(spec.split.hash_by or []):
        yield DeclaredColumn(name, "split.hash_by", ("split", "hash_by", position))
    for position, task in enumerate(spec.tasks):
        sort = "" if task.classes else "a number"
        yield DeclaredColumn(task.column, f"label of task {task.name}", ("tasks", position, "label"), sort)
        if task.known_at:
            place = ("tasks", position, "known_at")
            yield DeclaredColumn(task.known_at, f"known_at of task {task.name}", place, "a time")


def feature_columns(spec: PipelineSpec, table: str) -> Iterator[DeclaredColumn]:
    features = getattr(spec.features, table)
    if text := getattr(features, "text", None):
        yield DeclaredColumn(text, f"features.{table}.text", ("features", table, "text"), "a string")
    for kind in ("categorical", "numeric"):
        for position, name in enumerate(getattr(features, kind)):
            sort = "a number" if kind == "numeric" else CATEGORY
            place = ("features", table, kind, position)
            yield DeclaredColumn(name, f"features.{table}.{kind}", place, sort)
