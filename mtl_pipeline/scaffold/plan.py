"""What the scaffold proposes: the columns of each table with their SQL, features, tasks and settings."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, count

import duckdb

from mtl_pipeline.scaffold.profile import Column
from mtl_pipeline.warehouse.templates import quote_identifier, quote_literal


@dataclass(frozen=True)
class Selected:
    """A column that a table's SQL delivers."""

    expression: str
    name: str
    note: str = ""


@dataclass
class TablePlan:
    """One SQL file."""

    table: str
    file: str
    header: list[str]
    notes: list[str] = field(default_factory=list)
    selected: list[Selected] = field(default_factory=list)
    rejections: list[str] = field(default_factory=list)
    """Calls of the macros that refuse a row."""
    unused: dict[str, str] = field(default_factory=dict)
    """Why, by column."""
    categorical: list[str] = field(default_factory=list)
    numeric: list[str] = field(default_factory=list)
    times: list[str] = field(default_factory=list)
    """TIMESTAMP columns that are no features."""
    candidates: list[str] = field(default_factory=list)
    """Columns that may be labels or features: only their owner knows."""

    @property
    def names(self) -> set[str]:
        return {column.name for column in self.selected}

    def deliver(self, name: str, expression: str, note: str = "") -> None:
        self.selected.append(Selected(expression, name, note))

    def read(
        self,
        name: str,
        macro: str,
        arguments: str,
        note: str = "",
        *,
        form: str = "{}",
        optional: bool = True,
    ) -> None:
        """Deliver what a macro reads, in this form, and reject rows where it cannot; `optional` lets blanks pass."""
        self.deliver(name, form.format(f"{macro}({arguments})"), note)
        self.rejections.append(f"unless_{macro}({arguments}{', optional := true' if optional else ''})")

    def select_id(self, column: Column, name: str, *, whole: bool) -> None:
        """Ids stay strings unless they are `whole` numbers."""
        value = reference(column.name)
        if whole:
            self.read(name, "whole_number", value, optional=False)
        else:
            self.deliver(name, value)
            self.rejections.append(f"unless_present({value})")

    def select_time(self, column: Column, name: str, *, optional: bool) -> None:
        """Times become TIMESTAMPs in UTC."""
        ambiguous = " (or the other way round? look)" if "/" in str(column.time_format) else ""
        self.read(name, "moment", time_arguments(column), f"UTC{ambiguous}", optional=optional)

    def select_number(self, column: Column, name: str) -> None:
        """A numeric feature; a flag is one of 0 and 1."""
        self.numeric.append(name)
        if column.boolean:
            self.read(name, "flag", reference(column.name))
        else:
            self.read(name, "decimal_number", reference(column.name), seen_range(column))

    def select_category(self, column: Column, name: str) -> None:
        shown = ", ".join(column.values[:4]) + (", …" if len(column.values) > 4 else "")
        note = f"{column.distinct} values" + (f": {shown}" if column.values and len(shown) <= 60 else "")
        self.deliver(name, reference(column.name), note)
        self.categorical.append(name)


@dataclass(frozen=True)
class TaskPlan:
    name: str
    kind: str
    given: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Labels:
    tasks: list[TaskPlan]
    negatives: bool
    """Whether the log holds positives only, so that negatives must be sampled."""
    merged: bool = False
    """Whether the rows of a user and an item are events of one interaction."""


@dataclass(frozen=True)
class PipelinePlan:
    """Everything that the templates of defs.yaml and SQL need."""

    name: str
    tables: dict[str, TablePlan]
    ids: list[str]
    key: list[str]
    timed: bool
    labels: Labels


def free_name(name: str, extra: str, taken: Collection[str]) -> str:
    """The name; where it is taken, with `extra` before it, and then with a number behind it."""
    names = chain([name, f"{extra}_{name}"], (f"{extra}_{name}_{number}" for number in count(2)))
    return next(free for free in names if free not in taken)


def reference(name: str) -> str:
    """A column in SQL: quoted only where it must be."""
    plain = name.isascii() and name.isidentifier() and name.lower() not in keywords()
    return name if plain else quote_identifier(name)


@cache
def keywords() -> frozenset[str]:
    """Words that DuckDB takes for something else than a column's name."""
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category IN ('reserved', 'type_function')"
        ).fetchall()
    return frozenset(row[0] for row in rows)


def time_arguments(column: Column) -> str:
    return f"{reference(column.name)}, {quote_literal(column.time_format or 'ISO')}"


def seen_range(column: Column) -> str:
    return f"seen: {short(column.minimum)} to {short(column.maximum)}"


def short(number: float) -> str:
    """4.0 -> 4, 0.5 -> 0.5."""
    return f"{number:.10g}"
