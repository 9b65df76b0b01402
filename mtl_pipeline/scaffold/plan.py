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
    text: bool = False

    @property
    def names(self) -> set[str]:
        return {column.name for column in self.selected}


@dataclass(frozen=True)
class TaskPlan:
    name: str
    kind: str
    given: str | None = None
    note: str = ""


@dataclass
class PipelinePlan:
    """Everything that the templates of defs.yaml and SQL need."""

    name: str
    tables: dict[str, TablePlan]
    ids: list[str]
    key: list[str]
    timed: bool
    tasks: list[TaskPlan]
    negatives: bool
    merged: bool
    """Whether rows of the same key are events of one interaction."""
    candidates: list[str] = field(default_factory=list)
    """Columns of interactions that may be labels or features: only their owner knows."""


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


def select_id(plan: TablePlan, column: Column, name: str, *, whole: bool) -> None:
    """Ids stay strings unless they are `whole` numbers."""
    value = reference(column.name)
    plan.selected.append(Selected(f"whole_number({value})" if whole else value, name))
    plan.rejections.append(f"unless_whole_number({value})" if whole else f"unless_present({value})")


def select_time(plan: TablePlan, column: Column, name: str, *, required: bool = True) -> None:
    """Times become TIMESTAMPs in UTC."""
    arguments = time_arguments(column)
    ambiguous = " (or the other way round? look)" if "/" in arguments else ""
    plan.selected.append(Selected(f"moment({arguments})", name, f"UTC{ambiguous}"))
    plan.rejections.append(f"unless_moment({arguments}{'' if required else ', optional := true'})")


def select_days(plan: TablePlan, column: Column, name: str) -> None:
    """A time as a number: days since 1970."""
    arguments = time_arguments(column)
    plan.selected.append(Selected(f"epoch(moment({arguments})) / 86400", name, "days since 1970"))
    plan.rejections.append(f"unless_moment({arguments}, optional := true)")


def time_arguments(column: Column) -> str:
    return f"{reference(column.name)}, {quote_literal(column.time_format or 'ISO')}"


def select_number(plan: TablePlan, column: Column, name: str) -> None:
    """Blank is unknown; anything that is no finite number is refused."""
    value = reference(column.name)
    plan.selected.append(Selected(f"decimal_number({value})", name, seen_range(column)))
    plan.rejections.append(f"unless_decimal_number({value}, optional := true)")


def select_boolean(plan: TablePlan, column: Column, name: str) -> None:
    """0 or 1, true or false, yes or no."""
    value = reference(column.name)
    plan.selected.append(Selected(f"flag({value})", name))
    plan.rejections.append(f"unless_flag({value}, optional := true)")


def select_list(plan: TablePlan, column: Column, name: str) -> None:
    parts = f"string_split({reference(column.name)}, {quote_literal(column.separator)})"
    plan.selected.append(Selected(f"list_transform({parts}, lambda part: trim(part))", name))


def select_category(plan: TablePlan, column: Column, name: str) -> None:
    shown = ", ".join(column.values[:4]) + (", …" if len(column.values) > 4 else "")
    note = f"{column.distinct} values" + (f": {shown}" if column.values and len(shown) <= 60 else "")
    plan.selected.append(Selected(reference(column.name), name, note))


def seen_range(column: Column) -> str:
    if column.minimum is None or column.maximum is None:
        return ""
    return f"seen: {short(column.minimum)} to {short(column.maximum)}"


def short(number: float) -> str:
    """4.0 -> 4, 0.5 -> 0.5."""
    return f"{number:.10g}"
