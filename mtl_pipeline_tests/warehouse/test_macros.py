"""A raw value counts as a number or a time only where it is exactly that; else its row is refused with the reason."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from math import isfinite
from pathlib import Path

import duckdb
import polars as pl
import pytest

from mtl_pipeline.warehouse.connection import create_macros
from mtl_pipeline.warehouse.tables import build_table
from mtl_pipeline.warehouse.templates import quote_literal
from mtl_pipeline_tests.conftest import REPOSITORY, TinyPipeline

LARGEST = 2**63 - 1


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """On a machine in Tokyo, to see that it makes no difference."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'Asia/Tokyo'")
        create_macros(connection)
        yield connection


def value_of(connection: duckdb.DuckDBPyConnection, expression: str, raw: str) -> object:
    """What the expression makes of `raw`, an SQL expression, as a column named `seen`."""
    ((value,),) = connection.execute(f"SELECT {expression} FROM (SELECT {raw} AS seen)").fetchall()
    return value


NO_NUMBERS = [
    "",
    "abc",
    ".5",
    "5.",
    "1e2",
    "1E5",
    "0x1F",
    "0b11",
    "1_000",
    " 3",
    "3 ",
    "+3",
    "03",
    "inf",
    " inf",
]
NO_NUMBERS += ["-inf", "Infinity", "nan", "NaN", "1e400", "1,5", "1.5 EUR", "--1", "٣", "3\x00", "0x", "true"]


@pytest.mark.parametrize("text", [*NO_NUMBERS, "3.7", "3.00", "-0", "1e-05", str(LARGEST + 1), "9" * 400])
def test_no_whole_number(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    """TRY_CAST made 4 of 3.7, 100 of 1e2, 31 of 0x1F, 3 of 0b11 and 1000 of 1_000."""
    assert value_of(connection, "whole_number(seen)", quote_literal(text)) is None


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        ("'0'", 0),
        ("'-17'", -17),
        (f"'{LARGEST}'", LARGEST),
        (f"'{-LARGEST - 1}'", -LARGEST - 1),
        ("'3.0'", 3),
        ("3.0::DOUBLE", 3),
        ("3.0::FLOAT", 3),
        ("3::DECIMAL(10, 2)", 3),
        ("-100::DECIMAL(38, 10)", -100),
        ("7::BIGINT", 7),
        ("7::UTINYINT", 7),
    ],
)
def test_whole_numbers(connection: duckdb.DuckDBPyConnection, raw: str, number: int) -> None:
    """Text or a column of Parquet; 3.0 is how pandas writes 3 in a column with gaps."""
    assert value_of(connection, "whole_number(seen)", raw) == number


@pytest.mark.parametrize(
    "raw", ["3.7::DOUBLE", "3.7::DECIMAL(10, 2)", "'nan'::DOUBLE", "1e300", "true", "NULL", "NULL::VARCHAR"]
)
def test_typed_values_that_are_no_whole_numbers(connection: duckdb.DuckDBPyConnection, raw: str) -> None:
    assert value_of(connection, "whole_number(seen)", raw) is None


@pytest.mark.parametrize("text", [*NO_NUMBERS, "9" * 400, "1.5.2", "1e+400", "00.5"])
def test_no_decimal_number(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    assert value_of(connection, "decimal_number(seen)", quote_literal(text)) is None


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        ("'12.50'", 12.5),
        ("'-0.25'", -0.25),
        ("'7'", 7),
        ("'1e-05'", 1e-05),
        ("'1.5e+20'", 1.5e20),
        ("2.5::DOUBLE", 2.5),
        ("1e-9::DOUBLE", 1e-09),
        ("2.5::DECIMAL(9, 2)", 2.5),
        ("7::INTEGER", 7),
    ],
)
def test_decimal_numbers(connection: duckdb.DuckDBPyConnection, raw: str, number: float) -> None:
    assert value_of(connection, "decimal_number(seen)", raw) == number


def test_numbers_outside_their_range_are_none(connection: duckdb.DuckDBPyConnection) -> None:
    for macro in ("whole_number", "decimal_number"):
        assert value_of(connection, f"{macro}(seen, 1, 5)", "'5'") == 5
        for raw in ("'0'", "'6'"):
            assert value_of(connection, f"{macro}(seen, 1, 5)", raw) is None
        assert value_of(connection, f"{macro}(seen, low := 0)", "'-1'") is None
        assert value_of(connection, f"{macro}(seen, high := 0)", "'1'") is None


NOON = "2026-03-29 12:00:00"
WHOLE = re.compile(r"(0|-?[1-9][0-9]*)(\.0)?")
DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[-+][0-9]{2,})?")


def test_random_texts_are_numbers_where_the_definition_says_so(connection: duckdb.DuckDBPyConnection) -> None:
    """100,000 texts of the characters that numbers are written with, against Python's exact arithmetic."""
    chance = random.Random(0)
    texts = [
        "".join(chance.choices("0011235789.-+eE_xbinfa ", k=chance.randint(1, 7))) for _ in range(100_000)
    ]
    seen = pl.DataFrame({"text": texts})
    connection.register("seen", seen.to_arrow())
    found = connection.sql("SELECT text, whole_number(text), decimal_number(text) FROM seen").fetchall()
    wrong = [
        (text, whole, decimal)
        for text, whole, decimal in found
        if whole != (int(text.removesuffix(".0")) if WHOLE.fullmatch(text) else None)
        or decimal != (float(text) if DECIMAL.fullmatch(text) and isfinite(float(text)) else None)
    ]
    assert wrong == []
    assert sum(whole is not None for _, whole, _ in found) > 1_000


TIMES = [
    ("'2026-03-29 12:00:00'", "ISO", NOON),
    ("'2026-03-29T12:00:00Z'", "ISO", NOON),
    ("'2026-03-29T14:00:00+02:00'", "ISO", NOON),
    ("'2026-03-29 08:00:00-04'", "ISO", NOON),
    ("'2026-03-29 12:00'", "ISO", NOON),
    ("'2026-03-29'", "ISO", "2026-03-29 00:00:00"),
    ("'2026-03-29T12:00:00.500'", "ISO", "2026-03-29 12:00:00.5"),
    ("TIMESTAMP '2026-03-29 12:00:00'", "ISO", NOON),
    ("TIMESTAMPTZ '2026-03-29 14:00:00+02'", "ISO", NOON),
    ("TIMESTAMP_NS '2026-03-29 12:00:00.500'", "ISO", "2026-03-29 12:00:00.5"),
    ("'2026/3/29 12:00:00'", "ISO", NOON),
    ("DATE '2026-03-29'", "ISO", "2026-03-29 00:00:00"),
    ("'1774785600'", "seconds", NOON),
    ("'1774785600.0'", "seconds", NOON),
    ("1774785600000", "milliseconds", NOON),
    ("'1774785600000000'", "microseconds", NOON),
    ("'29/03/2026 12:00:00'", "day/month/year", NOON),
    ("'03/29/2026 12:00'", "month/day/year", NOON),
    ("'29.03.2026'", "day.month.year", "2026-03-29 00:00:00"),
]


@pytest.mark.parametrize(("raw", "unit", "time"), TIMES)
def test_moments_are_utc_wherever_the_machine_is(
    connection: duckdb.DuckDBPyConnection, raw: str, unit: str, time: str
) -> None:
    """A cast to TIMESTAMP drops the offset: +02:00 was two hours late."""
    assert value_of(connection, f"moment(seen, '{unit}')::VARCHAR", raw) == time


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        (text, "ISO")
        for text in ("yesterday", "epoch", "infinity", "2026-02-30", "2026-03-29 25:00:00", "20260329")
    ]
    + [
        (text, "ISO")
        for text in ("0026-03-29", "12026-03-29", "2026-03-29 (BC)", "2026-03-29 12:00 Europe/Berlin")
    ]
    + [
        (text, "ISO")
        for text in ("2026-03-29T12:00:00+25:00", "2026-03-29T12:00:00+99", "2026-03-29T12:00:00-05:75")
    ]
    + [
        (text, "seconds")
        for text in ("1e9", "1774785600.5", str(LARGEST), "-1", "1774785600000", " 1774785600")
    ]
    + [("1774785600", "day/month/year"), ("31/02/2026", "day/month/year")],
)
def test_no_moment(connection: duckdb.DuckDBPyConnection, text: str, unit: str) -> None:
    assert value_of(connection, f"moment(seen, '{unit}')", quote_literal(text)) is None


def test_an_unknown_unit_is_named(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.Error, match="moment: there is no unit fortnights"):
        value_of(connection, "moment(seen, 'fortnights')", "'1'")


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("'1'", 1),
        ("'0'", 0),
        ("'true'", 1),
        ("'False'", 0),
        ("'yes'", 1),
        ("'1.0'", 1),
        ("true", 1),
        ("0", 0),
        ("1::DECIMAL(5, 2)", 1),
    ]
    + [(raw, None) for raw in ("'2'", "2", "'01'", "'0x1'", "' 1'", "0.5", "'maybe'", "NULL")],
)
def test_flags(connection: duckdb.DuckDBPyConnection, raw: str, value: int | None) -> None:
    assert value_of(connection, "flag(seen)", raw) == value


REASONS = [
    ("unless_present(seen)", "'x'", None),
    ("unless_present(seen)", "NULL", "missing"),
    ("unless_whole_number(seen, 1, 5)", "'3'", None),
    ("unless_whole_number(seen, 1, 5)", "NULL", "missing"),
    ("unless_whole_number(seen, 1, 5, optional := true)", "NULL", None),
    ("unless_whole_number(seen, 1, 5, optional := true)", "'3.5'", "not a whole number"),
    ("unless_whole_number(seen, 1, 5)", "'9'", "outside 1 to 5"),
    ("unless_whole_number(seen, 0)", "'-3'", "below 0"),
    ("unless_whole_number(seen, high := 9)", "'10'", "above 9"),
    ("unless_decimal_number(seen, 0.01)", "'nan'", "not a number"),
    ("unless_decimal_number(seen, 0.01)", "'0'", "below 0.01"),
    ("unless_flag(seen)", "'2'", "neither 0 nor 1"),
    ("unless_flag(seen)", "NULL", "missing"),
    ("unless_one_of(seen, ['F', 'M'])", "'M'", None),
    ("unless_one_of(seen, ['F', 'M'])", "'m'", "neither F nor M"),
    ("unless_one_of(seen, ['a', 'b', 'c'])", "'d'", "not one of a, b, c"),
    ("unless_one_of(seen, ['a'], optional := true)", "NULL", None),
    ("unless_moment(seen, 'seconds')", "'yesterday'", "not a whole number"),
    ("unless_moment(seen, 'seconds', 2000)", "'17'", "outside 2000 to 2100"),
    ("unless_moment(seen)", "'yesterday'", "not a time (ISO)"),
    ("unless_moment(seen)", "'1812-01-01'", "outside 1970 to 2100"),
    ("unless_moment(seen, optional := true)", "NULL", None),
    ("reject_if(seen = 'x', 'seen', 'an x')", "'x'", "an x"),
]


@pytest.mark.parametrize(("call", "raw", "reason"), REASONS)
def test_reasons(connection: duckdb.DuckDBPyConnection, call: str, raw: str, reason: str | None) -> None:
    """The column is named without being told."""
    expected = {"column": "seen", "reason": reason} if reason else None
    assert value_of(connection, call, raw) == expected


def test_the_first_reason_counts_and_columns_are_named_as_in_the_file(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    ((rejection,),) = connection.execute(
        'SELECT coalesce(unless_present(good), unless_flag("a ""b"" like"), unless_flag(worse)) AS rejection '
        "FROM (SELECT 'x' AS good, '2' AS \"a \"\"b\"\" like\", '3' AS worse)"
    ).fetchall()
    assert rejection == {"column": 'a "b" like', "reason": "neither 0 nor 1"}


ROUNDED = [
    "1,1,3.7,883000000",
    "1,1,1e0,883000000",
    "0b11,1,4,883000000",
    "1,0x1,4,883000000",
    "1,1,4,8.83e8",
]


def test_no_number_of_a_log_is_rounded_or_reinterpreted(tiny_pipeline: TinyPipeline) -> None:
    """A rating of 3.7 was taken for 4, hence liked; user 0b11 for user 3."""
    paths, spec = tiny_pipeline.paths, tiny_pipeline.spec
    for table in ("users", "items"):
        build_table(paths, spec, table)
    before = build_table(paths, spec, "interactions")
    with (paths.raw / "ratings.csv").open("a") as file:
        file.write("\n".join([*ROUNDED, ""]))
    after = build_table(paths, spec, "interactions")
    assert after.rows_kept == before.rows_kept
    assert after.rows_rejected == before.rows_rejected + len(ROUNDED)


def test_columns_of_parquet_are_read_as_strictly(tiny_pipeline: TinyPipeline) -> None:
    """pandas makes DOUBLE of whole numbers with gaps: 3.0 is 3, 3.7 is nothing, a gap is missing."""
    paths = tiny_pipeline.paths
    raw = tiny_pipeline.spec.raw.model_copy(update={"interactions": "ratings.parquet"})
    spec = tiny_pipeline.spec.model_copy(update={"raw": raw})
    for table in ("users", "items"):
        build_table(paths, spec, table)
    pl.DataFrame(
        {
            "user_id": [1, 2, 3, 4],
            "movie_id": [1.0, 1.0, 1.0, 1.5],
            "rating": [3.0, 3.7, None, 4.0],
            "timestamp": [883_000_000] * 4,
        }
    ).write_parquet(paths.raw / "ratings.parquet")
    summary = build_table(paths, spec, "interactions")
    assert summary.rows_kept == 1
    assert summary.rejected_by_reason == {
        "movie_id: not a whole number": 1,
        "rating: missing": 1,
        "rating: not a whole number": 1,
    }


def test_no_pipeline_casts_leniently() -> None:
    lenient = [
        str(path.relative_to(REPOSITORY))
        for path in Path(REPOSITORY / "sql").rglob("*.sql")
        if "TRY_CAST" in path.read_text().upper() and path.name != "macros.sql"
    ]
    assert lenient == []
