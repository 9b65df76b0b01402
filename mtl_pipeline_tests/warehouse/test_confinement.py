"""A pipeline's SQL is one SELECT over its own raw files and the warehouse: nothing else is read, written or run."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl_pipeline.errors import UserError
from mtl_pipeline.warehouse.binding import delivered_columns, open_binder
from mtl_pipeline.warehouse.tables import build_table
from mtl_pipeline_tests.conftest import TinyPipeline

PROVENANCE = "source_file, source_line, reject_if(false, '', '') AS rejection"
USERS = (
    "SELECT whole_number(user_id) AS user_id, age, gender, occupation, zip_code AS zip_region, {} AS text, "
    f"{PROVENANCE} FROM raw_users"
)


def refusals(pipeline: TinyPipeline, sql: str) -> list[str]:
    """What is said of sql/movielens/users.sql, when definitions load and when the table is built."""
    (pipeline.paths.sql / "users.sql").write_text(sql)
    messages = []
    with open_binder() as connection, pytest.raises(UserError) as at_load:
        delivered_columns(connection, pipeline.paths, pipeline.spec, "users")
    messages.append(str(at_load.value))
    with pytest.raises(UserError) as at_run:
        build_table(pipeline.paths, pipeline.spec, "users")
    return [*messages, str(at_run.value)]


GOOD = USERS.format("'x'")
STATEMENTS = [
    ("COPY (SELECT 1) TO '{}'", 3, "COPY"),
    ("SELECT 1", 3, "SELECT"),
    ("ATTACH '{}' AS other", 3, "ATTACH"),
    ("CREATE TABLE users AS SELECT 1", 3, "CREATE"),
    ("INSTALL httpfs", 3, "LOAD"),
    ("SET threads = 1", 3, "SET"),
    ("PRAGMA version", 3, "PRAGMA"),
    ("DROP TABLE IF EXISTS items", 3, "DROP"),
]


@pytest.mark.parametrize(("statement", "line", "kind"), STATEMENTS)
def test_a_second_statement_is_refused_before_anything_ran(
    tiny_pipeline: TinyPipeline, tmp_path: Path, statement: str, line: int, kind: str
) -> None:
    """`SELECT …; COPY … TO …` was run while definitions loaded."""
    target = tmp_path / "written"
    for message in refusals(tiny_pipeline, f"{GOOD};\n-- harmless?\n{statement.format(target)}"):
        assert message.startswith(f"{tiny_pipeline.paths.sql}/users.sql:")
        assert f"unexpected {kind} statement. Leave one SELECT; nothing was run" in message
    assert not target.exists()


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("COPY (SELECT 1) TO '/tmp/x'", "users.sql:1: unexpected COPY statement"),
        (
            "WITH a AS (SELECT 1) INSERT INTO users FROM a",
            "users.sql:1: unexpected INSERT statement",
        ),
        ("-- nothing yet\n", "users.sql:1: there is no statement"),
        ("SELECT 1\nFORM raw_users x y", "users.sql:2: not valid SQL"),
    ],
)
def test_it_must_be_a_select(tiny_pipeline: TinyPipeline, sql: str, message: str) -> None:
    assert all(message in refusal for refusal in refusals(tiny_pipeline, sql))


@pytest.mark.parametrize("end", [";", " ;;\n", "; -- é\n", ";\n/* ; */", " -- ; é", "-- ;\n; -- ;"])
def test_a_semicolon_and_comments_may_follow(tiny_pipeline: TinyPipeline, end: str) -> None:
    (tiny_pipeline.paths.sql / "users.sql").write_text(USERS.format("'é;'").rstrip() + end)
    assert build_table(tiny_pipeline.paths, tiny_pipeline.spec, "users").rows_kept


READERS = [
    "(SELECT any_value(content) FROM read_text('{}'))",
    "(SELECT any_value(content)::VARCHAR FROM read_blob('{}'))",
    "(SELECT any_value(a) FROM read_csv('{}'))",
    "(SELECT any_value(a) FROM '{}')",
    "(SELECT any_value(file) FROM glob('{}*'))",
]


@pytest.mark.parametrize("reader", READERS)
def test_no_other_file_is_read(tiny_pipeline: TinyPipeline, tmp_path: Path, reader: str) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\ntop secret\n")
    for message in refusals(tiny_pipeline, USERS.format(reader.format(secret))):
        assert (
            "users.sql: a pipeline's SQL may read raw_users and the tables of the warehouse, no other"
            in message
        )
        assert "top secret" not in message


def test_it_may_read_the_warehouse_and_all_files_of_its_table(tiny_pipeline: TinyPipeline) -> None:
    build_table(tiny_pipeline.paths, tiny_pipeline.spec, "items")
    (tiny_pipeline.paths.sql / "users.sql").write_text(
        USERS.format("(SELECT count(*)::VARCHAR FROM items) || (SELECT count(*)::VARCHAR FROM raw_users)")
    )
    assert build_table(tiny_pipeline.paths, tiny_pipeline.spec, "users").rows_kept


TEMPLATES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{% for i in range(10000000000) %}x{% endfor %}",
    "{{ cycler.__init__.__globals__.os.system('true') }}",
    "{% include '../../../../etc/passwd' %}",
    "{{ 1 / 0 }}",
    "{{ nobody_knows }}",
    "{% if %}",
]


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_reach_nothing(tiny_pipeline: TinyPipeline, template: str) -> None:
    for message in refusals(tiny_pipeline, f"{GOOD} -- {template}"):
        assert "users.sql" in message
        assert "not a valid template" in message


def test_values_of_the_data_cannot_command_the_terminal(tiny_pipeline: TinyPipeline) -> None:
    row = "user_id,age,gender,occupation,zip_code\n\x1b[2J,30,F,artist,10001\n"
    (tiny_pipeline.paths.raw / "users.csv").write_text(row)
    (tiny_pipeline.paths.sql / "users.sql").write_text(
        GOOD.replace("whole_number(user_id)", "user_id::BIGINT")
    )
    with pytest.raises(UserError, match=r"Could not convert string .*\\x1b\[2J") as error:
        build_table(tiny_pipeline.paths, tiny_pipeline.spec, "users")
    assert "\x1b" not in str(error.value)
    assert error.value.__suppress_context__, (
        "the cause, which a traceback would print, has the value as it is"
    )
