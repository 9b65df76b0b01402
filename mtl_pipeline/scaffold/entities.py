"""The tables of users and items: key, features and text."""

from __future__ import annotations

from mtl_pipeline.scaffold.keys import is_time
from mtl_pipeline.scaffold.plan import TablePlan, free_name
from mtl_pipeline.scaffold.profile import Column, Profile, snake_case, words
from mtl_pipeline.spec import RESERVED_COLUMNS
from mtl_pipeline.warehouse.templates import quote_literal

CODES = words("code zip postcode occupation category type class group genre brand")
"""Words in the names of numbers that are not quantities."""
COUNTED = words("""
    events views clicks likes shares comments purchases orders sales sold downloads plays reads installs bookmarks
    favorites favourites rating ratings reviews votes stars popularity popular rank ranking
""")
"""Words in the names of numbers that may have been counted over the very log that is to be predicted."""
TITLES = words("title name headline subject label")
SHORTEST_TEXT = 3
"""Mean number of characters: codes such as DE say nothing to the encoder."""


def plan_entity(profile: Profile, key: Column, taken: set[str], *, whole: bool) -> TablePlan:
    """`taken` are names that no feature may have, those of labels and of other tables' features; `whole` says
    whether the ids are numbers."""
    plan, entity = TablePlan(profile), profile.table.removesuffix("s")
    plan.select_id(key, f"{entity}_id", whole=whole)
    texts: list[Column] = []
    for column in profile.columns.values():
        if column is not key:
            names = taken | plan.selected.keys() | RESERVED_COLUMNS | {"text"}
            place_column(plan, column, free_name(snake_case(column.name), entity, names), texts)
    if texts:
        # Titles first, then what is short, long texts last: the encoder cuts off the end.
        texts.sort(key=lambda column: (not column.sounds(TITLES), column.length))
        written = ", ".join(map(readable, texts))
        text = written if len(texts) == 1 else f"concat_ws('. ', {written})"
        plan.deliver("text", text, "read by the encoder")
    return plan


def place_column(plan: TablePlan, column: Column, name: str, texts: list[Column]) -> None:
    """Make a column a feature, a part of the text, or leave it out for a reason."""
    code = column.identifies or column.sounds(CODES)
    if column.useless:
        plan.unused[column.name] = column.useless
    elif column.separator:
        plan.deliver(name, column.parts)
        plan.categorical.append(name)
        texts.append(column)
    elif is_time(column):
        plan.select_time(column, name, optional=True)
        plan.times.append(name)
    elif (column.numeric or column.boolean) and not code:
        plan.select_number(column, name)
        (plan.suspects if column.sounds(COUNTED) else plan.numeric).append(name)
    elif column.category and not (column.identifies and plan.profile.table == "interactions"):
        plan.select_category(column, name)
        plan.categorical.append(name)
        if not (column.numeric or column.identifies) and column.length >= SHORTEST_TEXT:
            texts.append(column)
    elif column.numeric or column.time_formats or column.length < SHORTEST_TEXT or code:
        plan.unused[column.name] = "a code or time of its own for nearly each row"
    else:
        texts.append(column)


def readable(column: Column) -> str:
    """SQL of a column as people would write it: lists with commas."""
    if column.separator in (None, ","):
        return column.text
    if column.separator == "[]":
        return f"array_to_string({column.parts}, ', ')"
    return f"replace({column.sql}, {quote_literal(column.separator)}, ', ')"
