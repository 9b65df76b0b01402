"""The table of interactions: key, time, labels and tasks."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from mtl_pipeline.scaffold.plan import (
    Selected,
    TablePlan,
    TaskPlan,
    free_name,
    reference,
    seen_range,
    select_boolean,
    select_category,
    select_id,
    select_number,
    select_time,
    short,
)
from mtl_pipeline.scaffold.profile import MOST, Column, Profile, snake_case, words
from mtl_pipeline.spec import RESERVED_TASKS
from mtl_pipeline.warehouse.connection import fetch_one
from mtl_pipeline.warehouse.templates import quote_identifier, quote_literal

EVENT_WORDS = set(words("event events action behavior behaviour activity interaction type kind"))
LABEL_WORDS = set(
    words("""
        click clicked clicks purchase purchased buy bought like liked likes dislike cart convert converted
        conversion order ordered share shared forward follow followed watch watched finish finished play played
        skip skipped view viewed read save saved bookmark bookmarked comment commented subscribe download
        install label target open opened reply hate favorite favourite fav
    """)
)
RATING_WORDS = set(words("rating ratings score stars star grade vote"))
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
    def paired(self) -> bool:
        return len(self.ids) == 2

    @property
    def columns(self) -> list[Column]:
        return [*self.ids.values(), *([self.time] if self.time else [])]


@dataclass(frozen=True)
class Labels:
    tasks: list[TaskPlan]
    negatives: bool
    """Whether the log holds positives only, so that negatives must be sampled."""
    merged: bool = False
    """Whether the rows of a user and an item are events of one interaction."""


def plan_interactions(
    connection: duckdb.DuckDBPyConnection, profile: Profile, roles: Roles
) -> tuple[TablePlan, Labels, list[str]]:
    """The table, its labels, and the names of columns that may be labels or features."""
    plan = TablePlan("interactions", profile.path.name, list(profile.columns))
    event = next((column for column in profile.columns.values() if is_event(column, roles)), None)
    for name, column in roles.ids.items():
        select_id(plan, column, name, whole=name in roles.whole)
    if roles.time:
        select_time(plan, roles.time, "timestamp")
    rest = [column for column in profile.columns.values() if column not in roles.columns]
    if event:
        rest.remove(event)
        labels = label_events(plan, event)
    else:
        labels = label_columns(connection, plan, profile, rest, roles)
    candidates = select_candidates(plan, [column for column in rest if not is_label(plan, column)])
    if roles.ids:
        plan.categorical, plan.numeric = [], []  # without ids, there would be nothing else to learn from
    return plan, labels, candidates


def is_event(column: Column, roles: Roles) -> bool:
    """A column of words such as view, like, buy, where rows of one user and item belong together."""
    return (
        roles.paired
        and column not in roles.columns
        and bool(EVENT_WORDS & set(column.words))
        and len(column.values) >= 2
        and not column.numeric
        and not column.boolean
    )


def label_events(plan: TablePlan, event: Column) -> Labels:
    """One 0/1 label per event type. The rows of a user and an item are merged into one interaction."""
    value = reference(event.name)
    root, *others = event.values
    plan.notes += [
        f"An event log: each row says that one thing happened ({event.name}). Rows of the same key are merged",
        "(`repeats: merge` in defs.yaml): the labels of an interaction say which of these ever happened.",
    ]
    root_name = label_name(root, plan)
    plan.selected.append(Selected("1", root_name, "any event proves it"))
    tasks = [TaskPlan(root_name, "binary", note=f"{event.name} {root}, or any other event")]
    for other in others:
        name = label_name(other, plan)
        plan.selected.append(Selected(f"({value} = {quote_literal(other)})::INTEGER", name))
        tasks.append(TaskPlan(name, "binary", root_name, f"{event.name} {other}"))
    known = ", ".join(map(quote_literal, event.values))
    plan.rejections.append(f"unless_one_of({value}, [{known}])")
    return Labels(tasks, negatives=True, merged=True)


def label_columns(
    connection: duckdb.DuckDBPyConnection, plan: TablePlan, profile: Profile, rest: list[Column], roles: Roles
) -> Labels:
    """Columns of 0 and 1, then ratings; failing both, that there is an interaction at all."""
    binary = [column for column in rest if column.boolean and LABEL_WORDS & set(column.words)]
    if not binary and not any(is_rating(column) for column in rest):
        binary = [column for column in rest if column.boolean and column.distinct > 1]
    tasks = label_flags(connection, plan, profile, binary)
    root = tasks[0].name if tasks else None
    ratings = [column for column in rest if is_rating(column)]
    sampled = roles.paired and roles.time is not None
    negatives = sampled and bool(binary) and all(column.distinct == 1 for column in binary)
    if root is None and sampled and (ratings or not two_valued(rest)):
        negatives = True
        plan.selected.append(Selected("1", ROOT, "every row is an interaction"))
        tasks.append(TaskPlan(ROOT, "binary", note="that there is an interaction at all"))
        root = ROOT
    for column in ratings:
        tasks += label_rating(plan, column, root)
    if not tasks and (answers := two_valued(rest)):
        tasks.append(label_answer(plan, answers[-1]))
    if not tasks:
        plan.selected.append(Selected("NULL::INTEGER", "label", "DECIDE: nothing here looks like a label"))
        tasks.append(TaskPlan("label", "binary", note="DECIDE: no column looked like a label; see the SQL"))
    return Labels(tasks, negatives)


def label_flags(
    connection: duckdb.DuckDBPyConnection, plan: TablePlan, profile: Profile, flags: list[Column]
) -> list[TaskPlan]:
    """A binary task for each column of 0 and 1; given the rarest other one without which it does
    not happen, dirty rows aside."""
    names: dict[str, str] = {}
    happened: dict[str, int] = {}
    for flag in flags:
        names[flag.name] = label_name(flag.name, plan)
        select_boolean(plan, flag, names[flag.name])
        happened[flag.name] = count_where(connection, profile, flag)
    tasks = []
    for flag in sorted(flags, key=lambda flag: -happened[flag.name]):
        parents = [
            other
            for other in flags
            if happened[other.name] > happened[flag.name] > 0
            and count_where(connection, profile, flag, without=other) <= (1 - MOST) * happened[flag.name]
        ]
        parent = min(parents, key=lambda other: happened[other.name], default=None)
        given = names[parent.name] if parent else None
        exceptions = count_where(connection, profile, flag, without=parent) if parent else 0
        note = f"without {given} {exceptions} times in this file" if given else ""
        tasks.append(TaskPlan(names[flag.name], "binary", given, note))
    return tasks


def count_where(
    connection: duckdb.DuckDBPyConnection, profile: Profile, flag: Column, without: Column | None = None
) -> int:
    """Rows where `flag` happened and, if given, `without` did not."""
    condition = f"flag({quote_identifier(flag.name)}) = 1"
    if without:
        condition += f" AND flag({quote_identifier(without.name)}) = 0"
    (count,) = fetch_one(connection, f"SELECT count(*) FROM raw_{profile.table} WHERE {condition}")
    return count


def label_rating(plan: TablePlan, column: Column, given: str | None) -> list[TaskPlan]:
    """A rating is a regression, and a high one also a binary label."""
    assert column.minimum is not None
    assert column.maximum is not None
    arguments = f"{reference(column.name)}, {short(column.minimum)}, {short(column.maximum)}"
    value = f"decimal_number({arguments})"
    threshold = liked_from(column)
    name, liked = label_name(column.name, plan), label_name("liked", plan)
    plan.selected.append(Selected(value, name, seen_range(column)))
    plan.selected.append(Selected(f"({value} >= {short(threshold)})::INTEGER", liked))
    plan.rejections.append(f"unless_decimal_number({arguments}, optional := true)")
    return [
        TaskPlan(liked, "binary", given, f"{column.name} of {short(threshold)} or more"),
        TaskPlan(name, "regression", given),
    ]


def liked_from(column: Column) -> float:
    """The lowest value in the upper quarter of the scale: 4 of 1 to 5."""
    assert column.minimum is not None
    assert column.maximum is not None
    bound = column.minimum + 0.75 * (column.maximum - column.minimum)
    grades = [float(text) for text in column.values if is_number(text)]
    return min((grade for grade in grades if bound <= grade <= column.maximum), default=column.maximum)


def label_answer(plan: TablePlan, column: Column) -> TaskPlan:
    """A column of two values is a binary label: the rarer one is 1."""
    name, rarer = label_name(column.name, plan), column.values[1]
    value = reference(column.name)
    plan.selected.append(Selected(f"({value} = {quote_literal(rarer)})::INTEGER", name))
    known = ", ".join(map(quote_literal, column.values))
    plan.rejections.append(f"unless_one_of({value}, [{known}], optional := true)")
    return TaskPlan(name, "binary", note=f"{column.name} is {rarer}, not {column.values[0]}")


def two_valued(columns: list[Column]) -> list[Column]:
    return [column for column in columns if len(column.values) == 2]


def is_rating(column: Column) -> bool:
    return column.numeric and bool(RATING_WORDS & set(column.words)) and len(column.values) > 1


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def label_name(text: str, plan: TablePlan) -> str:
    return free_name(snake_case(text), "label", plan.names | RESERVED_TASKS)


def is_label(plan: TablePlan, column: Column) -> bool:
    return snake_case(column.name) in plan.names


def select_candidates(plan: TablePlan, columns: list[Column]) -> list[str]:
    """Deliver what may be a label or a feature, and leave the choice to the user."""
    candidates = []
    for column in columns:
        name = label_name(column.name, plan)
        if column.present == 0 or column.distinct == 1:
            plan.unused[column.name] = "empty" if column.present == 0 else "always the same"
        elif column.boolean:
            select_boolean(plan, column, name)
            plan.numeric.append(name)
            candidates.append(f"{name} (0 or 1)")
        elif column.numeric and column.words[-1] != "id":
            select_number(plan, column, name)
            plan.numeric.append(name)
            candidates.append(f"{name} (a number)")
        elif column.distinct <= column.present / 2 and column.length <= 60 and column.words[-1] != "id":
            select_category(plan, column, name)
            plan.categorical.append(name)
            candidates.append(f"{name} ({column.distinct} values)")
        else:
            plan.unused[column.name] = "identifies something else, or is free text"
    return candidates
