"""Every record of a raw file is kept or rejected once, with its file, exact line, reason and content."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_pipeline.errors import UserError
from mtl_pipeline_tests.warehouse.scanned import COLUMN_BY_COLUMN, Scanned

WITH_WINDOW = COLUMN_BY_COLUMN.replace("AS text,", "AS text, count(*) OVER () AS records,")
WITH_LINE = COLUMN_BY_COLUMN.replace("AS text,", "AS text, source_line + 1000 AS line_and_1000,")


Scanner = Callable[..., Scanned]


@pytest.fixture
def scan(tmp_path: Path) -> Scanner:
    """Scan one file with this content."""

    def scan_file(content: str | bytes, name: str = "items.csv", **more: object) -> Scanned:
        data = content.encode() if isinstance(content, str) else content
        return Scanned(tmp_path, {name: data}, **more)  # type: ignore[arg-type]

    return scan_file


MESSY = 'a,b\n1,x\n\n2,"two\nlines"\n3,bad\n4\n5,y\n\n\n6,"a ""quote"""\n7,x,more\n8,last'


@pytest.mark.parametrize("sql", [COLUMN_BY_COLUMN, WITH_WINDOW, WITH_LINE])
def test_lines_with_quoted_line_breaks_and_blank_lines(scan: Scanner, sql: str) -> None:
    scanned = scan(MESSY, sql=sql)
    assert scanned.kept_lines == {"1": 2, "2": 4, "5": 8, "6": 11, "8": 13}
    assert scanned.reasons == {6: "bad", 7: "too few columns", 12: "too many columns"}
    assert scanned.rejected["content"].to_list() == ["3,bad", "4", "7,x,more"]


def test_sql_may_compute_with_the_line(scan: Scanner) -> None:
    scanned = scan(MESSY, sql=WITH_LINE)
    assert (scanned.table["line_and_1000"] - scanned.table["source_line"]).unique().to_list() == [1000]


def test_carriage_returns(scan: Scanner) -> None:
    scanned = scan(MESSY.replace("\n", "\r\n"))
    assert scanned.kept_lines == {"1": 2, "2": 4, "5": 8, "6": 11, "8": 13}
    assert scanned.reasons == {6: "bad", 7: "too few columns", 12: "too many columns"}
    assert scanned.rejected["content"].to_list() == ["3,bad", "4", "7,x,more"]


def test_mixed_line_ends(scan: Scanner) -> None:
    scanned = scan('a,b\r\n1,x\r\n2,y\n3,"two\r\nlines"\r\n4,z')
    assert scanned.kept_lines == {"1": 2, "2": 3, "3": 4, "4": 6}
    assert scanned.table["text"].to_list() == ["x", "y", "two\r\nlines", "z"]


def test_stray_quotes_inside_unquoted_values(scan: Scanner) -> None:
    scanned = scan('a,b\n1,5" wide\n2,"two\nlines"\n3,bad\n4,7" wide\n\n5,6" wide\n6,bad\n')
    assert scanned.kept_lines == {"1": 2, "2": 3, "4": 6, "5": 8}
    assert scanned.reasons == {5: "bad", 9: "bad"}


@pytest.mark.parametrize(
    ("first", "kept"), [(b"1,\xff\n", {"2": 2}), (b'1,"x\ry"\n', {"1": 1, "2": 2}), (b"1,x\ry\n", {"2": 2})]
)
def test_a_bad_first_row_without_a_header_costs_one_line(
    scan: Scanner, first: bytes, kept: dict[str, int]
) -> None:
    """It was taken for a header, and the whole file was refused."""
    scanned = scan(first + b"2,z\n", columns={"items": ["a", "b"]}, delimiter=",")
    assert scanned.kept_lines == kept


def test_quote_that_is_never_closed_costs_one_line(scan: Scanner) -> None:
    scanned = scan('a,b\n1,x\n2,"y\n3,z\n')
    assert scanned.kept_lines == {"1": 2, "3": 4}
    assert scanned.reasons == {3: "quote not closed"}
    assert scanned.rejected["content"].to_list() == ['2,"y']


def test_text_after_a_closing_quote(scan: Scanner) -> None:
    scanned = scan('a,b\n1,x\n2,"y"z\n3,"z"\n4,"y" "z"\n')
    assert scanned.kept_lines == {"1": 2, "3": 4}
    assert scanned.reasons == {3: "text behind a closing quote", 5: "text behind a closing quote"}


def test_values_that_are_not_utf8(scan: Scanner) -> None:
    scanned = scan(b"a,b\n1,x\n2,caf\xe9\n3,z\n")
    assert scanned.kept_lines == {"1": 2, "3": 4}
    assert scanned.reasons == {3: "not UTF-8"}
    assert scanned.rejected["content"].to_list() == ["2,caf�"]


def test_latin_1(scan: Scanner) -> None:
    scanned = scan("a,b\n1,café\né\n2,bad\n".encode("latin-1"), encoding="latin-1")
    assert scanned.table["text"].to_list() == ["café"]
    assert scanned.rejected["content"].to_list() == ["é", "2,bad"]
    assert scanned.rejected["line"].to_list() == [3, 4]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_byte_order_mark_and_delimiters(scan: Scanner, delimiter: str) -> None:
    scanned = scan("\ufeff" + "a,b\n1,x\n2\n".replace(",", delimiter))
    assert scanned.kept_lines == {"1": 2}
    assert scanned.reasons == {3: "too few columns"}


def test_spaces_around_values_and_blank_values(scan: Scanner) -> None:
    scanned = scan('a,b\n 1 ,"  x y "\n2,   \n3,\n4,""\n')
    assert scanned.table["item_id"].to_list() == ["1", "2", "3", "4"]
    assert scanned.table["text"].to_list() == ["x y", None, None, None]


def test_several_characters_as_delimiter_no_header_no_quotes_gzip(scan: Scanner) -> None:
    content = gzip.compress(b'1::"Half::open\n2::bad\n\n3\n4::x\n')
    scanned = scan(content, "items.dat.gz", delimiter="::", quote="", columns={"items": ["a", "b"]})
    assert scanned.kept_lines == {"4": 5}
    assert scanned.reasons == {1: "too many columns", 2: "bad", 4: "too few columns"}


def test_files_without_a_final_line_end_or_rows(scan: Scanner) -> None:
    assert scan("a,b\n1,x").kept_lines == {"1": 2}
    assert scan("a,b\n").kept_lines == {}
    assert scan("a,b").kept_lines == {}


def test_a_file_of_one_column_has_no_blank_lines(scan: Scanner) -> None:
    scanned = scan("a\n1\n\n2\n", sql=COLUMN_BY_COLUMN.replace("b AS", "a AS").replace("b =", "a ="))
    assert scanned.kept_lines == {"1": 2, "2": 4}
    assert scanned.reasons == {3: "missing"}


DAYS = {
    "log/events-2024-01-02.csv": b"a,b\n3,x\n4\n5,bad\n",
    "log/events-2024-01-01.csv": b'a,b\n1,"one\nmore"\n2,bad\n',
    "log/events-notes.csv": b"another file\n",
}


@pytest.mark.parametrize("sql", [COLUMN_BY_COLUMN, WITH_WINDOW])
def test_a_file_a_day(tmp_path: Path, sql: str) -> None:
    scanned = Scanned(tmp_path, DAYS, sql, items="log/events-{date}.csv")
    first, second = "log/events-2024-01-01.csv", "log/events-2024-01-02.csv"
    assert scanned.table.select("item_id", "source_file", "source_line").rows() == [
        ("1", first, 2),
        ("3", second, 2),
    ]
    assert scanned.rejected.select("file", "line", "reason", "content").rows() == [
        (first, 4, "bad", "2,bad"),
        (second, 3, "too few columns", "4"),
        (second, 4, "bad", "5,bad"),
    ]


def test_the_first_file_wins_over_later_duplicates(tmp_path: Path) -> None:
    files = {"b.csv": b"a,b\n1,late\n", "a.csv": b"a,b\n1,early\n"}
    scanned = Scanned(tmp_path, files, items="*.csv")
    assert scanned.table["text"].to_list() == ["early"]
    assert scanned.rejected.select("file", "line", "reason").rows() == [("b.csv", 2, "duplicate")]


def test_parquet_keeps_types_and_counts_rows(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pl.DataFrame({"a": [1, 2, 2], "b": ["x", "bad", "y"]}).write_parquet(buffer)
    files = {"items-1.parquet": buffer.getvalue()}
    scanned = Scanned(tmp_path, files, items="items-*.parquet")
    assert scanned.table.select("item_id", "source_file", "source_line").rows() == [
        (1, "items-1.parquet", 1),
        (2, "items-1.parquet", 3),
    ]
    assert scanned.rejected.select("line", "reason", "content").rows() == [(2, "bad", '{"a":2,"b":"bad"}')]


@pytest.mark.parametrize(
    ("files", "settings", "message"),
    [
        ({"x.csv": b"a,b\n"}, {"items": "items.csv"}, r"raw/items\.csv is missing: put the file there"),
        ({"x.csv": b"a,b\n"}, {"items": "."}, r"raw is missing: put the file there"),
        ({"x.csv": b"a,b\n"}, {"items": "day-{date}.csv"}, r"no file in .*/raw matches day-\{date\}\.csv"),
        ({"x.csv": b"a,b\n", "y.csv": b"a,c\n"}, {"items": "*.csv"}, r"y\.csv has other columns than x\.csv"),
        ({"x.csv": b"a,b\n", "y.parquet": b""}, {"items": "*"}, "matches CSV, JSON or Parquet files"),
        ({"x.zip": b"PK"}, {"items": "x.zip"}, "unpack it first"),
        ({"x.csv": b""}, {"items": "x.csv"}, "is empty"),
        ({"x.csv": b"a,\n"}, {"items": "x.csv"}, "line 1 must name every column"),
        ({"x.csv": b"a,a\n"}, {"items": "x.csv"}, "names a column twice: a"),
        ({"x.csv": b"a,\xe9\n"}, {"items": "x.csv"}, "line 1 is not UTF-8"),
        ({"x.csv": b"a,source_line\n"}, {"items": "x.csv"}, "rename the column source_line"),
        ({"x.csv": b"a,filename\n"}, {"items": "x.csv"}, "rename the column filename"),
        ({"x.jsonl": b'{"a": 1, "": 2}\n'}, {"items": "x.jsonl"}, 'rename the column ""'),
        ({"x.csv": b"a,b\r1,2\r"}, {"items": "x.csv"}, "carriage return only"),
        ({"x.parquet": b"no"}, {"items": "x.parquet"}, "cannot be read as Parquet"),
        ({"x.csv": b"a,b\n"}, {"items": "s3://bucket/x.csv"}, "httpfs extension; install it once with"),
    ],
)
def test_files_that_cannot_be_used(
    tmp_path: Path, files: dict[str, bytes], settings: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        Scanned(tmp_path, files, **settings)  # type: ignore[arg-type]


FIELDS = st.text(alphabet='xy "\n,', max_size=4)
ROWS = st.lists(st.lists(FIELDS, min_size=2, max_size=4), max_size=12)


@settings(max_examples=25, deadline=None)
@given(rows=ROWS, line_end=st.sampled_from(["\n", "\r\n"]), data=st.data())
def test_lines_agree_with_pythons_csv_reader(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], line_end: str, data: st.DataObject
) -> None:
    """Rows of two to four fields where three are right, some quoted, between blank lines."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["a", "b", "c"])
    for number, row in enumerate(rows):
        text.write("\n" * data.draw(st.integers(0, 2)))
        writer.writerow([f"id{number}", *row[1:]])
    content = text.getvalue().replace("\n", line_end)
    kept, rejected = reference(content)
    scanned = Scanned(tmp_path_factory.mktemp("scan"), {"items.csv": content.encode()})
    assert scanned.kept_lines == kept
    assert scanned.rejected["line"].to_list() == rejected


def reference(content: str) -> tuple[dict[str, int], list[int]]:
    """Line of each good row, by its first field, and lines of the rows with too few or too many fields.

    DuckDB overlooks a delimiter too many at the end of a row.
    """
    kept, rejected, lines = {}, [], 0
    reader = csv.reader(io.StringIO(content, newline=""))
    for row in reader:
        if row and row[0] != "a":
            if len(row) == 3 or (len(row) == 4 and row[3] == ""):
                kept[row[0]] = lines + 1
            else:
                rejected.append(lines + 1)
        lines = reader.line_num
    return kept, rejected
