"""No record of a raw file is lost, moved or changed without a word, whatever stands in the file."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_pipeline.errors import UserError
from mtl_pipeline.warehouse.reading.records import PIECE_BYTES
from mtl_pipeline_tests.warehouse.oracle import read
from mtl_pipeline_tests.warehouse.scanned import Scanned

ROWS = 800_000
AS_IT_IS = """
SELECT row_number() OVER () AS item_id, a, b AS text, c, source_file, source_line,
    NULL::STRUCT("column" VARCHAR, reason VARCHAR) AS rejection
FROM raw_items
"""


@pytest.mark.parametrize("line", [2, ROWS // 2])
def test_a_stray_quote_costs_its_own_line(tmp_path: Path, line: int) -> None:
    """It made DuckDB's reader swallow what follows and drop it at its buffer: 675,923 rows without a word."""
    rows = [b"a,b,c\n", *[b"i,20,F\n"] * ROWS]
    rows[line - 1] = b'1,20,"F\n'
    scanned = Scanned(tmp_path, {"items.csv": b"".join(rows)}, AS_IT_IS)
    assert scanned.summary.rows_read == ROWS
    assert scanned.summary.rows_kept == ROWS - 1
    assert scanned.rejected.select("line", "content").rows() == [(line, '1,20,"F')]
    assert scanned.table["source_line"].max() == ROWS + 1


def test_a_record_that_is_too_long_is_refused_and_reading_goes_on(tmp_path: Path) -> None:
    content = b"a,b,c\n1,x,y\n2," + b"x" * 33_000_000 + b",y\n3,x,y\n"
    scanned = Scanned(tmp_path, {"items.csv": content}, AS_IT_IS)
    assert scanned.table["source_line"].to_list() == [2, 4]
    assert scanned.reasons == {3: "longer than 1,000,000 bytes"}


def test_rows_with_too_few_columns_do_not_cost_the_megabytes_beside_them(tmp_path: Path) -> None:
    """Threads that split a file look for a whole row: what they passed over was lost."""
    rows = 110_000
    content = b"a,b,c\n" + (b"1,2," + b"3" * 90 + b"\n" + b"4,5\n") * rows
    assert len(content) > PIECE_BYTES
    scanned = Scanned(tmp_path, {"items.csv": content}, AS_IT_IS)
    assert (scanned.summary.rows_kept, scanned.summary.rows_rejected) == (rows, rows)


@pytest.mark.parametrize(
    ("name", "content", "raw", "message"),
    [
        ("x.csv", b"a,b,c\n", {}, r"x\.csv: no row can be read.*may_be_empty: \[items\]"),
        (
            "x.csv",
            b"a,b,c\n1\n2\n",
            {},
            r"no row can be read: c too few columns|no row can be read: b too few",
        ),
        (
            "x.csv.gz",
            gzip.compress(b"a,b,c\n1,2,3\n" * 999, mtime=0)[:-9],
            {},
            r"x\.csv\.gz is not a complete gzip file",
        ),
        ("x.csv", b"age,AGE,c\n1,2,3\n", {}, "names a column twice: AGE, age"),
        ("x.json", b"[\n  {\n", {}, r"x\.json: each line must be a JSON object"),
        ("x.csv", b"a,b,c\n1,\x93x\x94,3\n", {"encoding": "latin-1"}, "line 2 .* `encoding: windows-1252`"),
    ],
)
def test_files_that_end_in_a_clear_message(
    tmp_path: Path, name: str, content: bytes, raw: dict, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        Scanned(tmp_path, {name: content}, AS_IT_IS, may_be_empty=[], **raw)


def test_windows_1252(tmp_path: Path) -> None:
    content = "a,b,c\n1,“x”,€\n".encode("windows-1252") + b"2,\x81,3\n"
    scanned = Scanned(tmp_path, {"items.csv": content}, AS_IT_IS, encoding="windows-1252")
    assert scanned.table.select("text", "c").rows() == [("“x”", "€")]
    assert scanned.reasons == {3: "not WINDOWS-1252"}


def test_the_name_of_a_file_is_no_pattern(tmp_path: Path) -> None:
    files = {"we*ird[1].csv": b"a,b,c\n1,x,y\n", "weird1.csv": b"a,b,c\n2,x,y\n"}
    scanned = Scanned(tmp_path, files, AS_IT_IS)
    assert scanned.table.select("a", "source_file").rows() == [("1", "we*ird[1].csv")]


def test_nor_is_that_of_a_parquet_file(tmp_path: Path) -> None:
    files = {}
    for name, value in (("we*ird[1].parquet", "1"), ("weird1.parquet", "2")):
        buffer = io.BytesIO()
        pl.DataFrame({"a": [value], "b": ["x"], "c": ["y"]}).write_parquet(buffer)
        files[name] = buffer.getvalue()
    scanned = Scanned(tmp_path, files, AS_IT_IS)
    assert scanned.table.select("a", "source_file").rows() == [("1", "we*ird[1].parquet")]


PARTS = st.sampled_from(["x", "y", " ", "é", ",", '"', '""', '"x"', "\n", "\r", "\r\n", "1,2,3\n"])


@settings(max_examples=25, deadline=None)
@given(body=st.lists(PARTS, max_size=40).map("".join), limit=st.sampled_from([2, 100]))
def test_every_line_is_accounted_for_once(
    tmp_path_factory: pytest.TempPathFactory, body: str, limit: int
) -> None:
    """Kept with its values and line, or rejected with its line and content, as the oracle has it."""
    text = "a,b,c\n" + body
    kept, refused = read(text, 3, longest_lines=limit)
    folder = tmp_path_factory.mktemp("reading")
    scanned = Scanned(folder, {"items.csv": text.encode()}, AS_IT_IS, longest_record_lines=limit)
    rows = scanned.table.select("source_line", "a", "text", "c").rows()
    assert rows == [(record.line, *record.values[:3]) for record in kept]
    rejected = scanned.rejected.select("line", "content", "lines").rows()
    assert rejected == [(record.line, record.content, record.lines) for record in refused]


def test_json_lines_are_read_like_csv(tmp_path: Path) -> None:
    """Every value is text, trimmed; lists are JSON. Keys may be missing, in any order, or new later on."""
    lines = [
        '{"a": 1, "b": " padded "}',
        '{"b": "", "a": 2.50, "c": ["red", "wool"]}',
        "",
        "{'a': 3}",
        '{"c": {"x": null}, "a": "it\'s \\"4\\""}',
        "[5]",
    ]
    content = "\n".join(lines).encode()
    scanned = Scanned(tmp_path, {"items.jsonl.gz": gzip.compress(content)}, AS_IT_IS)
    assert scanned.table.select("source_line", "text", "c").rows() == [
        (1, "padded", None),
        (2, None, '["red","wool"]'),
        (5, None, '{"x":null}'),
        (6, None, None),
    ]
    assert scanned.rejected.select("line", "content", "reason").rows() == [(4, "{'a': 3}", "not valid JSON")]


def test_json_lines_of_several_files_have_the_keys_of_all(tmp_path: Path) -> None:
    files = {"2026-01-01.jsonl": b'{"a": 1, "b": "x"}\n', "2026-01-02.jsonl": b'\n{"a": 2, "c": "y"}\n'}
    scanned = Scanned(tmp_path, files, AS_IT_IS, items="{date}.jsonl")
    assert scanned.table.select("source_file", "source_line", "text", "c").rows() == [
        ("2026-01-01.jsonl", 1, "x", None),
        ("2026-01-02.jsonl", 2, None, "y"),
    ]


def test_text_in_parquet_is_trimmed_like_text_in_csv(tmp_path: Path) -> None:
    content = io.BytesIO()
    pl.DataFrame({"a": [1, 2], "b": [" padded ", " "], "c": [["x "], []]}).write_parquet(content)
    scanned = Scanned(tmp_path, {"items.parquet": content.getvalue()}, AS_IT_IS)
    assert scanned.table.select("text", "c").rows() == [("padded", ["x "]), (None, [])]


@pytest.mark.parametrize("parquet", [False, True])
def test_an_alias_that_differs_by_case_only_is_the_column(tmp_path: Path, parquet: bool) -> None:
    """DuckDB's views, and its DESCRIBE, keep the name of the raw column."""
    content = io.BytesIO(b"A,B\n1,x\n")
    if parquet:
        pl.DataFrame({"A": [1], "B": ["x"]}).write_parquet(content)
    sql = AS_IT_IS.replace("a, b AS text, c", 'A AS a, B AS "b", B AS text')
    scanned = Scanned(tmp_path, {f"items.{'parquet' if parquet else 'csv'}": content.getvalue()}, sql)
    assert scanned.table.columns[1:3] == ["a", "b"]
    assert {"a", "b"} < set(scanned.summary.columns)
