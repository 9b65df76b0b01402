"""What only shows when a defs.yaml is held against its SQL, its folder and Dagster: found at load."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

import dagster as dg

from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.yaml_lines import line_of
from mtl_pipeline.errors import UserError
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.binding import delivered_columns, open_binder
from mtl_pipeline.warehouse.reading.dialect import PROVENANCE_COLUMNS

Place = tuple[str | int, ...]
"""Keys and list positions below `attributes`."""
OWN_COLUMNS = (*PROVENANCE_COLUMNS, "rejection")
"""What every SQL file delivers besides its columns."""
NUMBER, STRING, TIME = "a number", "a string", "a time"
CATEGORY = "a string, a list of strings, a whole number or a BOOLEAN"
INTEGER = r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?"
SQL_TYPES = {
    NUMBER: rf"{INTEGER}|FLOAT|DOUBLE|DECIMAL.*|BOOLEAN",
    STRING: r"VARCHAR",
    TIME: r"DATE|TIMESTAMP.*",
    CATEGORY: rf"VARCHAR(\[\])?|{INTEGER}|BOOLEAN",
}
"""Patterns of DuckDB's types, by what a column holds."""
READERS = {NUMBER: "decimal_number", TIME: "moment"}
"""The macros of warehouse/sql/macros.sql that make such a column."""


class DeclaredColumn(NamedTuple):
    """A column that a table must have, why, and where it is declared."""

    name: str
    purpose: str
    place: Place
    sort: str = ""
    """What it must hold, a key of SQL_TYPES; empty: anything."""


def check_declaration(file: Path, pipeline: PipelineContext) -> None:
    """Refuse what the specification alone cannot know to be wrong.

    Takes milliseconds: SQL is bound against the headers of the raw files, and no row is read.
    Raises UserError with file, line, what is wrong and what is allowed.
    """
    problems = [
        f"{file}:{line_of(file, ('attributes', *place))}: {message}"
        for place, message in (*schedule_problems(pipeline.spec), *column_problems(pipeline))
    ]
    if problems:
        raise UserError("\n".join(problems))


def schedule_problems(spec: PipelineSpec) -> Iterator[tuple[Place, str]]:
    try:
        dg.ScheduleDefinition(
            job_name="nightly", cron_schedule=spec.schedule.cron, execution_timezone=spec.schedule.timezone
        )
    except dg.DagsterInvalidDefinitionError:
        yield (
            ("schedule", "cron"),
            f"schedule.cron: not a cron schedule: '{spec.schedule.cron}'; it has five fields: "
            "minute, hour, day of the month, month, day of the week",
        )


def column_problems(pipeline: PipelineContext) -> Iterator[tuple[Place, str]]:
    """The columns that defs.yaml declares and the SQL does not deliver."""
    with open_binder() as connection:
        for table in pipeline.spec.tables:
            delivered = delivered_columns(connection, pipeline.paths, pipeline.spec, table)
            if delivered is None:
                continue
            for column in declared_columns(pipeline.spec, table):
                if problem := column_problem(column, delivered):
                    sql = f"sql/{pipeline.name}/{table}.sql"
                    yield column.place, f"{column.purpose}: {sql} delivers {problem}"


def column_problem(column: DeclaredColumn, delivered: dict[str, str]) -> str | None:
    """What is delivered instead of the column; `delivered`: SQL types by name."""
    name, sort = column.name, column.sort
    if name not in delivered:
        others = [other for other in delivered if other not in OWN_COLUMNS]
        return f"no column {name}{did_you_mean(name, others)}; it delivers: {', '.join(others)}"
    if sort and not re.fullmatch(f'{SQL_TYPES[sort]}|"NULL"', delivered[name]):
        remedy = f": {READERS[sort]}({name}) makes it one" if sort in READERS else ""
        return f"{name} as {delivered[name]}; it must be {sort}{remedy}"
    return None


def did_you_mean(name: str, known: list[str]) -> str:
    similar = get_close_matches(name, known, n=1)
    return f" (did you mean {similar[0]}?)" if similar else ""


def declared_columns(spec: PipelineSpec, table: str) -> list[DeclaredColumn]:
    """Every column that `table` must have, once each: as it is declared first."""
    own = [DeclaredColumn(name, f"rows of {table}", ("raw", table)) for name in OWN_COLUMNS]
    columns = [*key_columns(spec, table), *feature_columns(spec, table), *own]
    return list({column.name: column for column in reversed(columns)}.values())[::-1]


def key_columns(spec: PipelineSpec, table: str) -> Iterator[DeclaredColumn]:
    if table != "interactions":
        yield DeclaredColumn(f"{table.removesuffix('s')}_id", f"key of {table}", ("raw", table))
        if table == "items" and spec.available_from:
            yield DeclaredColumn(spec.available_from, "available_from", ("available_from",), TIME)
        return
    if spec.timed:
        key = spec.needing_time[0]
        yield DeclaredColumn("timestamp", f"{key} needs a time", tuple(key.split(".")), TIME)
    for key, names in (
        ("interaction_key", spec.interaction_key),
        ("ids", spec.ids),
        ("split.hash_by", spec.split.hash_by or []),
    ):
        for position, name in enumerate(names):
            yield DeclaredColumn(name, key, (*key.split("."), position))
    if spec.split.column:
        yield DeclaredColumn(spec.split.column, "split.column", ("split", "column"))
    for position, task in enumerate(spec.tasks):
        sort = "" if task.classes else NUMBER
        yield DeclaredColumn(task.column, f"label of task {task.name}", ("tasks", position, "label"), sort)
        if task.known_at:
            place = ("tasks", position, "known_at")
            yield DeclaredColumn(task.known_at, f"known_at of task {task.name}", place, TIME)


def feature_columns(spec: PipelineSpec, table: str) -> Iterator[DeclaredColumn]:
    features = getattr(spec.features, table)
    for kind in ("text", "image"):
        if column := getattr(features, kind, None):
            yield DeclaredColumn(column, f"features.{table}.{kind}", ("features", table, kind), STRING)
    for kind, sort in (("further_texts", STRING), ("categorical", CATEGORY), ("numeric", NUMBER)):
        for position, name in enumerate(getattr(features, kind, [])):
            place = ("features", table, kind, position)
            yield DeclaredColumn(name, f"features.{table}.{kind}", place, sort)
