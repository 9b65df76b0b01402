"""What is declared is compared with what the SQL delivers: columns that are missing, or of another type."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl_pipeline.components import load_pipelines
from mtl_pipeline_tests.components.orders import Edit, refusal

WRONG_TYPES = [
    (
        "users",
        "whole_number(age)",
        "age",
        "5: features.users.numeric",
        "age as VARCHAR",
        "a number: decimal_number(age) makes it one",
    ),
    ("users", "name AS text", "1 AS text", "4: features.users.text", "text as INTEGER", "a string"),
    (
        "interactions",
        "::TIMESTAMP",
        "",
        "6: features.history needs a time",
        "timestamp as VARCHAR",
        "a time: moment(timestamp) makes it one",
    ),
    (
        "interactions",
        "click::INTEGER",
        "click",
        "9: label of task click",
        "click as VARCHAR",
        "a number: decimal_number(click) makes it one",
    ),
]


@pytest.mark.parametrize(("table", "old", "new", "place", "found", "wanted"), WRONG_TYPES)
def test_columns_of_the_wrong_type_are_refused(
    edit: Edit, root: Path, table: str, old: str, new: str, place: str, found: str, wanted: str
) -> None:
    path = root / f"sql/orders/{table}.sql"
    path.write_text(path.read_text().replace(old, new))
    assert refusal(edit("", "")) == (
        f"defs.yaml:{place}: sql/orders/{table}.sql delivers {found}; it must be {wanted}"
    )


def test_every_undelivered_column_is_named_at_once(edit: Edit, root: Path) -> None:
    (root / "sql/orders/items.sql").write_text("SELECT title FROM raw_items")
    assert [line.split(";")[0] for line in refusal(edit("[age]", "[size]")).splitlines()] == [
        "defs.yaml:5: features.users.numeric: sql/orders/users.sql delivers no column size",
        "defs.yaml:2: key of items: sql/orders/items.sql delivers no column item_id",
        "defs.yaml:3: features.items.text: sql/orders/items.sql delivers no column text",
        "defs.yaml:2: rows of items: sql/orders/items.sql delivers no column source_file",
        "defs.yaml:2: rows of items: sql/orders/items.sql delivers no column source_line",
        "defs.yaml:2: rows of items: sql/orders/items.sql delivers no column rejection",
    ]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT user_id,\nFROM FROM raw_users", ":2: not valid SQL: Parser Error: syntax error at or near"),
        ("SELECT user_id\n{% if %}", ":2: not a valid template: Expected an expression"),
    ],
)
def test_invalid_sql_is_refused_even_before_there_is_a_raw_file(
    edit: Edit, root: Path, query: str, message: str
) -> None:
    (root / "sql/orders/users.sql").write_text(query)
    (root / "data/orders/raw/users.csv").unlink()
    assert refusal(edit("", "")).startswith(f"{root}/sql/orders/users.sql{message}")


@pytest.mark.parametrize("content", ["user_id,years,name\n", "", "\xff\xfe", "user_id,user_id\n", None])
def test_a_broken_raw_file_is_left_to_the_run(edit: Edit, root: Path, content: str | None) -> None:
    file = root / "data/orders/raw/users.csv"
    file.unlink() if content is None else file.write_text(content, encoding="latin-1")
    load_pipelines(edit("", ""), strict=True)
