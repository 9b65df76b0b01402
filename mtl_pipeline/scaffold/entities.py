"""The tables of users and items: key, features and text."""

from __future__ import annotations

from mtl_pipeline.scaffold.keys import is_time
from mtl_pipeline.scaffold.plan import (
    Selected,
    TablePlan,
    free_name,
    reference,
    select_boolean,
    select_category,
    select_days,
    select_id,
    select_list,
    select_number,
    select_time,
)
from mtl_pipeline.scaffold.profile import Column, Profile, snake_case
from mtl_pipeline.spec import RESERVED_COLUMNS
from mtl_pipeline.warehouse.templates import quote_literal

CODES = {"code", "zip", "postcode", "occupation", "category", "type", "class", "group", "genre", "brand"}
"""Words in the names of numbers that are no quantities."""
TITLES = {"title", "name", "headline", "subject", "label"}
LONGEST_CATEGORY = 60
"""Mean number of characters."""
SHORTEST_TEXT = 3
"""Mean number of characters: codes such as DE say nothing to the encoder."""


def plan_entity(profile: Profile, key: Column, taken: set[str], *, whole: bool) -> TablePlan:
    """`taken` are the names of labels and of other tables' features, which no feature may have; `whole` says
    whether the ids are numbers."""
    plan = TablePlan(profile.table, profile.path.name, list(profile.columns))
    entity = profile.table.removesuffix("s")
    select_id(plan, key, f"{entity}_id", whole=whole)
    texts: list[Column] = []
    for column in profile.columns.values():
        if column is not key:
            place_column(plan, column, feature_name(column, entity, taken | plan.names), texts)
    if texts:
        plan.selected.append(Selected(text_expression(texts), "text", "read by the encoder"))
        plan.text = True
    return plan


def feature_name(column: Column, entity: str, taken: set[str]) -> str:
    return free_name(snake_case(column.name), entity, taken | RESERVED_COLUMNS | {"text"})


def place_column(plan: TablePlan, column: Column, name: str, texts: list[Column]) -> None:
    """Make a column a feature, a part of the text, or leave it out for a reason."""
    if reason := useless(column):
        plan.unused[column.name] = reason
    elif column.separator:
        select_list(plan, column, name)
        plan.categorical.append(name)
        texts.append(column)
    elif is_time(column) and plan.table == "items":
        select_time(plan, column, name, required=False)
        plan.times.append(name)
    elif is_time(column):
        select_days(plan, column, name)
        plan.numeric.append(name)
    elif column.numeric and not CODES & set(column.words):
        (select_boolean if column.boolean else select_number)(plan, column, name)
        plan.numeric.append(name)
    elif column.distinct <= column.present / 2 and column.length <= LONGEST_CATEGORY:
        select_category(plan, column, name)
        plan.categorical.append(name)
        if not column.numeric and column.length >= SHORTEST_TEXT:
            texts.append(column)
    elif column.numeric or column.time_format or column.length < SHORTEST_TEXT or CODES & set(column.words):
        plan.unused[column.name] = "a code or time of its own for nearly each row"
    else:
        texts.append(column)


def useless(column: Column) -> str | None:
    if column.present == 0:
        return "empty"
    if column.distinct == 1:
        return "always the same"
    if column.mostly(column.links):
        return "links"
    if "agent" in column.words:
        return "technical"
    if column.words[-1] in ("id", "ids", "uuid", "guid", "hash") or column.words == ["index"]:
        return "identifies something else"
    if column.unique and column.mostly(column.whole) and column.minimum in (0, 1):
        return "numbers the rows"
    return None


def text_expression(texts: list[Column]) -> str:
    """Titles first, then what is short, long texts last: the encoder cuts off the end."""
    ordered = sorted(texts, key=lambda column: (not TITLES & set(column.words), column.length))
    parts = [
        f"replace({reference(column.name)}, {quote_literal(column.separator)}, ', ')"
        if column.separator and column.separator != ","
        else reference(column.name)
        for column in ordered
    ]
    return f"concat_ws('. ', {', '.join(parts)})"
