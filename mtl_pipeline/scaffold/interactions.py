"""The table of interactions: key, time, labels and tasks."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import polars as pl

from mtl_pipeline.scaffold.plan import (
    Labels,
    TablePlan,
    TaskPlan,
    free_name,
    reference,
    seen_range,
    short,
)
from mtl_pipeline.scaffold.profile import MOST, Column, Profile, snake_case, words
from mtl_pipeline.spec import RESERVED_TASKS
from mtl_pipeline.warehouse.connection import fetch_one
from mtl_pipeline.warehouse.templates import quote_identifier, quote_literal, quote_literals

EVENT_WORDS = set(words("event events action behavior behaviour activity interaction type kind"))
LABEL_WORDS = set(
    words("""
    click clicked clicks purchase purchased buy bought like liked likes dislike cart convert converted conversion order
    ordered share shared forward follow followed watch watched finish finished play played skip skipped view viewed read
    save saved bookmark bookmarked comment commented subscribe download install label target open opened reply hate
    favorite favourite fav
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


def plan_interactions(
    connection: duckdb.DuckDBPyConnection, profile: Profile, roles: Roles
) -> tuple[TablePlan, Labels]:
    plan = TablePlan("interactions", profile.path.name, list(profile.columns))
    for name, column in roles.ids.items():
        plan.select_id(column, name, whole=name in roles.whole)
    if roles.time:
        plan.select_time(roles.time, "timestamp", optional=False)
    rest = [column for column in profile.columns.values() if column not in roles.columns]
    event = next((column for column in rest if roles.paired and is_event(column)), None)
    if event:
        rest.remove(event)
        labels = label_events(plan, event)
    else:
        labels = label_columns(connection, plan, rest, roles)
    for column in [column for column in rest if snake_case(column.name) not in plan.names]:
        place_candidate(plan, column)
    if roles.ids:
        plan.categorical, plan.numeric = [], []  # without ids, there would be nothing else to learn from
    return plan, labels


def is_event(column: Column) -> bool:
    """A column of words such as view, like, buy."""
    named = bool(EVENT_WORDS & set(column.words))
    return named and len(column.values) >= 2 and not column.numeric and not column.boolean


def label_events(plan: TablePlan, event: Column) -> Labels:
    """One 0/1 label per event type. The rows of a user and an item are merged into one interaction."""
    value = reference(event.name)
    root, *others = event.values
    plan.notes += [
        f"An event log: each row says that one thing happened ({event.name}). Rows of the same key are merged",
        "(`repeats: merge` in defs.yaml): the labels of an interaction say which of these ever happened.",
    ]
    root_name = label_name(root, plan)
    plan.deliver(root_name, "1", "any event proves it")
    tasks = [TaskPlan(root_name, "binary", note=f"{event.name} {root}, or any other event")]
    for other in others:
        name = label_name(other, plan)
        plan.deliver(name, f"({value} = {quote_literal(other)})::INTEGER")
        tasks.append(TaskPlan(name, "binary", root_name, f"{event.name} {other}"))
    plan.rejections.append(f"unless_one_of({value}, [{quote_literals(event.values)}])")
    return Labels(tasks, negatives=True, merged=True)


def label_columns(
    connection: duckdb.DuckDBPyConnection, plan: TablePlan, rest: list[Column], roles: Roles
) -> Labels:
    """Columns of 0 and 1, then ratings; failing both, that there is an interaction at all."""
    ratings = [column for column in rest if is_rating(column)]
    answers = [column for column in rest if len(column.values) == 2]
    flags = [column for column in rest if column.boolean and LABEL_WORDS & set(column.words)]
    if not flags and not ratings:
        flags = [column for column in rest if column.boolean and column.distinct > 1]
    tasks = label_flags(connection, plan, flags)
    sampled = roles.paired and roles.time is not None
    negatives = sampled and bool(flags) and all(column.distinct == 1 for column in flags)
    if not flags and sampled and (ratings or not answers):
        negatives = True
        plan.deliver(ROOT, "1", "every row is an interaction")
        tasks.append(TaskPlan(ROOT, "binary", note="that there is an interaction at all"))
    root = tasks[0].name if tasks else None
    for column in ratings:
        tasks += label_rating(plan, column, root)
    if not tasks and answers:
        tasks.append(label_answer(plan, answers[-1]))
    if not tasks:
        plan.deliver("label", "NULL::INTEGER", "DECIDE: nothing here looks like a label")
        tasks.append(TaskPlan("label", "binary", note="DECIDE: no column looked like a label; see the SQL"))
    return Labels(tasks, negatives)


def label_flags(
    connection: duckdb.DuckDBPyConnection, plan: TablePlan, flags: list[Column]
) -> list[TaskPlan]:
    """A binary task for each column of 0 and 1; given the rarest other one without which it does
    not happen, dirty rows aside."""
    names: dict[str, str] = {}
    for flag in flags:
        names[flag.name] = label_name(flag.name, plan)
        plan.read(names[flag.name], "flag", reference(flag.name))
    happened = {name: count_where(connection, name) for name in names}
    tasks = []
    for name in sorted(names, key=lambda name: -happened[name]):
        without = {
            other: count_where(connection, name, without=other)
            for other in names
            if happened[other] > happened[name] > 0
        }
        parents = [other for other, count in without.items() if count <= (1 - MOST) * happened[name]]
        parent = min(parents, key=lambda other: happened[other], default=None)
        given = names[parent] if parent else None
        note = f"without {given} {without[parent]} times in this file" if parent else ""
        tasks.append(TaskPlan(names[name], "binary", given, note))
    return tasks


def count_where(connection: duckdb.DuckDBPyConnection, flag: str, without: str | None = None) -> int:
    """Rows where `flag` happened and, if given, `without` did not."""
    condition = f"flag({quote_identifier(flag)}) = 1"
    if without:
        condition += f" AND flag({quote_identifier(without)}) = 0"
    (count,) = fetch_one(connection, f"SELECT count(*) FROM raw_interactions WHERE {condition}")
    return count


def label_rating(plan: TablePlan, column: Column, given: str | None) -> list[TaskPlan]:
    """A rating is a regression, and a high one also a binary label."""
    arguments = f"{reference(column.name)}, {short(column.minimum)}, {short(column.maximum)}"
    name, liked = label_name(column.name, plan), label_name("liked", plan)
    threshold = short(liked_from(column))
    plan.read(name, "decimal_number", arguments, seen_range(column))
    plan.deliver(liked, f"(decimal_number({arguments}) >= {threshold})::INTEGER")
    return [
        TaskPlan(liked, "binary", given, f"{column.name} of {threshold} or more"),
        TaskPlan(name, "regression", given),
    ]


def liked_from(column: Column) -> float:
    """The lowest value in the upper quarter of the scale: 4 of 1 to 5."""
    bound = column.minimum + 0.75 * (column.maximum - column.minimum)
    grades = pl.Series(column.values).cast(pl.Float64, strict=False)
    return grades.filter(grades.is_between(bound, column.maximum)).min()  # type: ignore[return-value]


def label_answer(plan: TablePlan, column: Column) -> TaskPlan:
    """A column of two values is a binary label: the rarer one is 1."""
    name, value, (usual, rarer) = label_name(column.name, plan), reference(column.name), column.values
    plan.deliver(name, f"({value} = {quote_literal(rarer)})::INTEGER")
    plan.rejections.append(f"unless_one_of({value}, [{quote_literals(column.values)}], optional := true)")
    return TaskPlan(name, "binary", note=f"{column.name} is {rarer}, not {usual}")


def is_rating(column: Column) -> bool:
    return column.numeric and bool(RATING_WORDS & set(column.words)) and len(column.values) > 1


def label_name(text: str, plan: TablePlan) -> str:
    return free_name(snake_case(text), "label", plan.names | RESERVED_TASKS)


def place_candidate(plan: TablePlan, column: Column) -> None:
    """Deliver what may be a label or a feature, and leave the choice to the user."""
    name = label_name(column.name, plan)
    is_id = column.words[-1] == "id"
    if column.constant:
        plan.unused[column.name] = column.constant
    elif column.boolean:
        plan.select_number(column, name)
        plan.candidates.append(f"{name} (0 or 1)")
    elif column.numeric and not is_id:
        plan.select_number(column, name)
        plan.candidates.append(f"{name} (a number)")
    elif column.category and not is_id:
        plan.select_category(column, name)
        plan.candidates.append(f"{name} ({column.distinct} values)")
    else:
        plan.unused[column.name] = "identifies something else, or is free text"
