"""The table of interactions: key, time, labels and tasks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import duckdb
import polars as pl

from mtl_pipeline.errors import UserError
from mtl_pipeline.scaffold.entities import place_column
from mtl_pipeline.scaffold.plan import Labels, TablePlan, TaskPlan, free_name
from mtl_pipeline.scaffold.profile import MOST, Column, short, snake_case, words
from mtl_pipeline.spec import BAD_WORDS, RESERVED_TASKS
from mtl_pipeline.warehouse.connection import fetch_one
from mtl_pipeline.warehouse.templates import quote_identifier, quote_literal, quote_literals

EVENT_WORDS = words("event events action behavior behaviour activity interaction type kind")
LABEL_WORDS = [
    *words("""
    click clicked clicks purchase purchased buy bought like liked likes cart convert converted conversion order
    ordered share shared forward follow followed watch watched finish finished play played view viewed read
    save saved bookmark bookmarked comment commented subscribe download install label target open opened reply
    favorite favourite fav
    """),
    *BAD_WORDS,
]
ANSWERS = words("answer class label outcome response result target y")
RATING_WORDS = words("rating ratings score stars star grade vote")
ROOT = "interacted"


@dataclass(frozen=True)
class Roles:
    """The columns of interactions whose part is known."""

    ids: dict[str, Column]
    """By `user_id` and `item_id`."""
    whole: frozenset[str]
    """The ids that are whole numbers, in interactions and in the table that they refer to."""
    time: Column | None

    @property
    def sampled(self) -> bool:
        """Whether pairs that never met can be told."""
        return len(self.ids) == 2 and self.time is not None


def plan_interactions(
    connection: duckdb.DuckDBPyConnection, plan: TablePlan, roles: Roles, rest: list[Column]
) -> Labels:
    """Fill the plan. `rest` are the columns without a role, and not of users or items."""
    for name, column in roles.ids.items():
        plan.select_id(column, name, whole=name in roles.whole)
    if roles.time:
        plan.select_time(roles.time, "timestamp", optional=False)
    events = [column for column in rest if column.sounds(EVENT_WORDS) and len(column.values) > 1]
    events = [column for column in events if len(roles.ids) == 2 and not (column.numeric or column.boolean)]
    event = events[0] if events else None
    labels = label_events(plan, event, roles) if event else label_columns(connection, plan, rest, roles)
    texts: list[Column] = []
    read = {task.column for task in labels.tasks}
    for column in rest:
        if column is not event and column.name not in read:
            place_column(plan, column, label_name(column.name, plan), texts)
    plan.unused |= {column.name: "free text" for column in texts if not (column.category or column.separator)}
    if roles.ids:  # otherwise there would be nothing to learn from
        plan.candidates = [*plan.categorical, *plan.numeric, *plan.suspects, *plan.times]
        plan.categorical, plan.numeric, plan.suspects = [], [], []
    return labels


def label_events(plan: TablePlan, event: Column, roles: Roles) -> Labels:
    """One 0/1 label per event type. The rows of a user and an item are merged into one interaction.

    Where pairs without any event can be sampled, the most frequent type says that there was one.
    """
    plan.note = f"An event log ({event.name}): rows of one key are merged, labels say what ever happened."
    tasks: list[TaskPlan] = []
    for value in event.values:
        name = label_name(value, plan)
        is_root = roles.sampled and not tasks
        plan.deliver(name, "1" if is_root else f"({event.text} = {quote_literal(value)})::INTEGER")
        note = f"{event.name} {value}" + (", or any other event" if is_root else "")
        tasks.append(binary(name, value, tasks[0].name if tasks and roles.sampled else None, note))
    plan.rejections.append(f"unless_one_of({event.sql}, [{quote_literals(event.values)}])")
    return Labels(tasks, roles.sampled, merged=True)


def label_columns(
    connection: duckdb.DuckDBPyConnection, plan: TablePlan, rest: list[Column], roles: Roles
) -> Labels:
    """Columns of 0 and 1, and ratings; that there is an interaction at all, where nothing else says what is good; or
    else what looks most like an answer."""
    ratings = [
        column for column in rest if column.numeric and column.sounds(RATING_WORDS) and len(column.values) > 1
    ]
    flags = [column for column in rest if column.boolean and column.sounds(LABEL_WORDS)]
    if not flags and not ratings:
        flags = [column for column in rest if column.boolean and column.distinct > 1]
    answers = [column for column in rest if len(column.values) == 2 and not column.boolean]
    good = [column for column in flags if not column.sounds(BAD_WORDS)]
    told = bool(ratings or flags or not answers) and all(
        column.distinct == column.minimum == 1 for column in good
    )
    negatives = roles.sampled and told
    tasks: list[TaskPlan] = []
    if negatives and not good:
        plan.deliver(ROOT, "1", "every row is an interaction")
        tasks.append(TaskPlan(ROOT, "binary", note="that there is an interaction at all"))
    tasks += label_flags(connection, plan, flags, tasks[0].name if tasks else None)
    for column in ratings:
        tasks += label_rating(plan, column, tasks[0].name if tasks else None)
    return Labels(tasks or [label_answer(plan, rest, classes=len(roles.ids) < 2)], negatives)


def binary(name: str, text: str, given: str | None = None, note: str = "") -> TaskPlan:
    return TaskPlan(name, "binary", given, note, good=not set(BAD_WORDS) & set(snake_case(text).split("_")))


def label_flags(
    connection: duckdb.DuckDBPyConnection, plan: TablePlan, flags: list[Column], root: str | None
) -> list[TaskPlan]:
    """A binary task for each column of 0 and 1, most frequent first; given the rarest other one without which it does
    not happen, dirty rows aside, else the root."""
    if not flags:
        return []
    names = {flag.name: label_name(flag.name, plan) for flag in flags}
    for flag in flags:
        plan.read(names[flag.name], "flag", flag.sql)
    pairs = [*product(names, repeat=2)]
    happens = {name: f"flag({quote_identifier(name)}) = 1" for name in names}
    counted = ", ".join(f"count_if({happens[one]} AND {happens[other]})" for one, other in pairs)
    both = dict(zip(pairs, fetch_one(connection, f"SELECT {counted} FROM raw_interactions"), strict=True))
    tasks = []
    for name in sorted(names, key=lambda name: -both[name, name]):
        count = both[name, name]
        parents = [
            other for other in names if both[other, other] > count > 0 and both[name, other] >= MOST * count
        ]
        parent = min(parents, key=lambda other: both[other, other], default=None)
        note = f"without {names[parent]} {count - both[name, parent]} times in this file" if parent else ""
        task = binary(names[name], name, names[parent] if parent else root, note)
        tasks.append(replace(task, column=name))
    return tasks


def label_rating(plan: TablePlan, column: Column, given: str | None) -> list[TaskPlan]:
    """A rating is a regression, and a high one, from the lowest grade in the upper quarter of the scale, also a binary
    label."""
    arguments = f"{column.sql}, {short(column.minimum)}, {short(column.maximum)}"
    bound = column.minimum + 0.75 * (column.maximum - column.minimum)
    grades = pl.Series(column.values).cast(pl.Float64, strict=False)
    threshold = short(grades.filter(grades.is_between(bound, column.maximum)).min())  # type: ignore[arg-type]
    name, liked = label_name(column.name, plan), label_name("liked", plan)
    plan.read(name, "decimal_number", arguments, column.range)
    plan.deliver(liked, f"(decimal_number({arguments}) >= {threshold})::INTEGER")
    return [
        TaskPlan(liked, "binary", given, f"{column.name} of {threshold} or more"),
        TaskPlan(name, "regression", given, column=column.name),
    ]


def label_answer(plan: TablePlan, rest: list[Column], *, classes: bool) -> TaskPlan:
    """What is asked of each row: the last column of two values, the rarer of which is 1; else of a few words, else a
    number. A name that says so goes first. Raises UserError where nothing looks like it."""

    def kind_of(column: Column) -> str:
        if column.useless or column.identifies or column.separator:
            return ""
        words = classes and column.category and (not column.numeric or snake_case(column.name) in ANSWERS)
        few = {0: "", 2: "binary"}.get(len(column.values), "multiclass" if words else "")
        return few or ("regression" if column.numeric else "")

    fit = [column for column in reversed(rest) if kind_of(column)]
    if not fit:
        raise UserError(
            f"{plan.profile.path}: no column looks like a label, and unless there are users, items and times, where "
            "nothing happened cannot be told: add a column that says what came of each row"
        )
    column = min(fit, key=lambda column: (snake_case(column.name) not in ANSWERS, kind_of(column)))
    kind = kind_of(column)
    name, values = label_name(column.name, plan), column.values
    if kind == "regression":
        plan.read(name, "decimal_number", column.sql, column.range)
        return TaskPlan(name, kind, column=column.name)
    plan.rejections.append(f"unless_one_of({column.sql}, [{quote_literals(values)}], optional := true)")
    if kind == "multiclass":
        plan.deliver(name, column.text)
        return TaskPlan(name, kind, classes=values, column=column.name)
    plan.deliver(name, f"({column.text} = {quote_literal(values[1])})::INTEGER")
    note = f"{column.name} is {values[1]}, not {values[0]}"
    return TaskPlan(name, kind, note=note, column=column.name)


def label_name(text: str, plan: TablePlan) -> str:
    return free_name(snake_case(text), "label", plan.selected.keys() | RESERVED_TASKS)
