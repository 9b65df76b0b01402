"""What the scaffold proposes: the columns of each table with their SQL, features, tasks and settings."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from mtl_pipeline.scaffold.profile import Column, Profile, reference
from mtl_pipeline.warehouse.templates import quote_literal


@dataclass
class TablePlan:
    """One SQL file."""

    profile: Profile
    note: str = ""
    selected: dict[str, str] = field(default_factory=dict)
    """By name of the column, its line in the SELECT."""
    rejections: list[str] = field(default_factory=list)
    """Calls of the macros that refuse a row."""
    unused: dict[str, str] = field(default_factory=dict)
    """Why, by column."""
    categorical: list[str] = field(default_factory=list)
    numeric: list[str] = field(default_factory=list)
    times: list[str] = field(default_factory=list)
    """TIMESTAMP columns that are no features."""
    suspects: list[str] = field(default_factory=list)
    """Numbers that may count what is to be predicted."""
    candidates: list[str] = field(default_factory=list)
    """Columns that may be labels or features: only their owner knows."""

    def deliver(self, name: str, expression: str, note: str = "") -> None:
        alias = "" if expression == reference(name) else f" AS {reference(name)}"
        self.selected[name] = f"{expression}{alias}," + (f" -- {one_line(note)}" if note else "")

    def read(self, name: str, macro: str, arguments: str, note: str = "", *, optional: bool = True) -> None:
        """Deliver what a macro reads, and reject rows where it cannot; `optional` lets blanks pass."""
        self.deliver(name, f"{macro}({arguments})", note)
        self.rejections.append(f"unless_{macro}({arguments}{', optional := true' if optional else ''})")

    def select_id(self, column: Column, name: str, *, whole: bool) -> None:
        """Ids stay strings unless they are `whole` numbers."""
        if whole:
            self.read(name, "whole_number", column.sql, optional=False)
        else:
            self.deliver(name, column.text)
            self.rejections.append(f"unless_present({column.sql})")

    def select_time(self, column: Column, name: str, *, optional: bool) -> None:
        """Times become TIMESTAMPs in UTC."""
        formats = column.time_formats
        note = f"UTC. DECIDE which it is: {' or '.join(formats)}" if len(formats) > 1 else "UTC"
        self.read(name, "moment", f"{column.sql}, {quote_literal(formats[0])}", note, optional=optional)

    def select_number(self, column: Column, name: str) -> None:
        """A flag is one of 0 and 1."""
        if column.boolean:
            self.read(name, "flag", column.sql)
        else:
            self.read(name, "decimal_number", column.sql, column.range)

    def select_category(self, column: Column, name: str) -> None:
        shown = ", ".join(column.values[:4]) + (", …" if len(column.values) > 4 else "")
        note = f"{column.distinct} values" + (f": {shown}" if column.values and len(shown) <= 60 else "")
        self.deliver(name, column.text, note)


@dataclass(frozen=True)
class TaskPlan:
    name: str
    kind: str
    given: str | None = None
    note: str = ""
    classes: list[str] = field(default_factory=list)
    good: bool = True
    """False where it sounds like what should not happen, such as a return."""
    column: str = ""
    """The raw column that is read for it alone."""


@dataclass(frozen=True)
class Labels:
    tasks: list[TaskPlan]
    negatives: bool
    """Whether the log holds positives only, so that negatives must be sampled."""
    merged: bool = False
    """Whether the rows of a user and an item are events of one interaction."""


@dataclass(frozen=True)
class PipelinePlan:
    """Everything that the templates of defs.yaml and SQL need; `ids` are columns of interactions by role."""

    name: str
    raw: Mapping[str, object]
    """The section `raw`."""
    tables: dict[str, TablePlan]
    ids: dict[str, str]
    key: list[str]
    time: Column | None
    labels: Labels

    @property
    def found(self) -> Iterator[str]:
        """What to say on screen about keys, times, tasks and leaks."""
        yield from (f"{role}: {column}" for role, column in self.ids.items())
        yield f"time: {f'{self.time.name} ({self.time.time_formats[0]})' if self.time else 'none'}"
        yield f"tasks: {', '.join(task.name for task in self.labels.tasks)}"
        for table, plan in self.tables.items():
            says = {
                "features": [*plan.categorical, *plan.numeric],
                "features or tasks": plan.candidates,
                "may know the future": plan.suspects,
                "left out": plan.unused,
            }
            yield from (f"{table}, {what}: {', '.join(names)}" for what, names in says.items() if names)


def free_name(name: str, extra: str, taken: Collection[str]) -> str:
    """The name, with `extra` before it as often as it is taken, as `rejection` always is."""
    while name in taken or name == "rejection":
        name = f"{extra}_{name}"
    return name


def one_line(text: str) -> str:
    """For comments, which end with the line and hold no control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
