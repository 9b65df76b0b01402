"""The tables of users and items: key, features and text."""

from __future__ import annotations

from mtl_pipeline.scaffold.keys import is_time
from mtl_pipeline.scaffold.plan import (
    TablePlan,
    free_name,
    reference,
    time_arguments,
)
from mtl_pipeline.scaffold.profile import Column, Profile, snake_case
from mtl_pipeline.spec import RESERVED_COLUMNS
from mtl_pipeline.warehouse.templates import quote_literal

CODES = {"code", "zip", "postcode", "occupation", "category", "type", "class", "group", "genre", "brand"}
"""Words in the names of numbers that are not quantities."""
TITLES = {"title", "name", "headline", "subject", "label"}
SHORTEST_TEXT = 3
"""Mean number of characters: codes such as DE say nothing to the encoder."""


def plan_entity(profile: Profile, key: Column, taken: set[str], *, whole: bool) -> TablePlan:
    """`taken` are names that no feature may have, those of labels and of other tables' features; `whole` says
    whether the ids are numbers."""
    plan = TablePlan(profile.table, profile.path.name, list(profile.columns))
    entity = profile.table.removesuffix("s")
    plan.select_id(key, f"{entity}_id", whole=whole)
    texts: list[Column] = []
    for column in profile.columns.values():
        if column is not key:
            names = taken | plan.names | RESERVED_COLUMNS | {"text"}
            place_column(plan, column, free_name(snake_case(column.name), entity, names), texts)
    if texts:
        plan.deliver("text", text_expression(texts), "read by the encoder")
    return plan


def place_column(plan: TablePlan, column: Column, name: str, texts: list[Column]) -> None:
    """Make a column a feature, a part of the text, or leave it out for a reason."""
    code = bool(CODES & set(column.words))
    if reason := useless(column):
        plan.unused[column.name] = reason
    elif column.separator:
        parts = f"string_split({reference(column.name)}, {quote_literal(column.separator)})"
        plan.deliver(name, f"list_transform({parts}, lambda part: trim(part))")
        plan.categorical.append(name)
        texts.append(column)
    elif is_time(column) and plan.table == "items":
        plan.select_time(column, name, optional=True)
        plan.times.append(name)
    elif is_time(column):
        plan.read(name, "moment", time_arguments(column), "days since 1970", form="epoch({}) / 86400")
        plan.numeric.append(name)
    elif column.numeric and not code:
        plan.select_number(column, name)
    elif column.category:
        plan.select_category(column, name)
        if not column.numeric and column.length >= SHORTEST_TEXT:
            texts.append(column)
    elif column.numeric or column.time_format or column.length < SHORTEST_TEXT or code:
        plan.unused[column.name] = "a code or time of its own for nearly each row"
    else:
        texts.append(column)


def useless(column: Column) -> str | None:
    if column.constant:
        return column.constant
    if column.links:
        return "links"
    if "agent" in column.words:
        return "technical"
    if column.words[-1] in ("id", "ids", "uuid", "guid", "hash") or column.words == ["index"]:
        return "identifies something else"
    if column.unique and column.whole and column.minimum in (0, 1):
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
