"""How CSV files are written: columns, delimiter, quotes, line ends, encoding. JSON lines are CSV of one column."""

from __future__ import annotations

import csv
import json
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from mtl_pipeline.errors import UserError
from mtl_pipeline.spec import RawFiles
from mtl_pipeline.warehouse.reading.raw import RawFile, open_bytes, remote_query
from mtl_pipeline.warehouse.templates import quote_literal

PROVENANCE_COLUMNS = ("source_file", "source_line")
RESERVED_NAMES = (*PROVENANCE_COLUMNS, "filename", "")
"""Filename is what DuckDB calls the file."""
LONGEST_HEADER = 2**20
JSON_LINES = 1_000
"""Lines of each file whose keys are the columns of JSON lines."""
DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Dialect:
    """How the CSV files of one table are written."""

    columns: list[str]
    delimiter: str
    quote: str
    encoding: str
    has_header: bool
    longest_lines: int
    """The most lines of one record; see RawFiles."""
    longest_bytes: int
    is_json: bool = False


def read_dialect(files: list[RawFile], raw: RawFiles, table: str) -> Dialect:
    """The settings of `raw:`, completed from the header lines of the files.

    Raises UserError when a header cannot be used, or when the files' headers differ.
    """
    if files[0].is_json:
        # The delimiter is no part of JSON.
        return Dialect(
            json_keys(files), "\x01", "", "utf-8", False, 1, raw.longest_record_bytes, is_json=True
        )
    first = file_dialect(files[0], raw, table)
    for file in files[1:] if first.has_header else []:
        other = file_dialect(file, raw, table)
        if other != first:
            differing = sorted(set(other.columns) ^ set(first.columns))
            what = (
                f"differing: {', '.join(differing)}"
                if differing
                else "in another order or with another delimiter"
            )
            raise UserError(
                f"{file.path} has other columns than {files[0].name} ({what}): all files of a table need the "
                f"header {first.delimiter.join(first.columns)}"
            )
    return first


def file_dialect(file: RawFile, raw: RawFiles, table: str) -> Dialect:
    given = raw.columns_of(table)
    line = first_line(file, raw.encoding, is_header=given is None)
    if not line:
        raise UserError(f"{file.path} is empty: it needs a header line and rows")
    delimiter = raw.delimiter or max(DELIMITERS, key=line.count)
    columns = given or split_header(file, line, delimiter, raw.quote)
    if not columns or "" in columns:
        raise UserError(f"{file.path}: line 1 must name every column, got: {line.strip() or '(blank)'}")
    refuse_unusable_names(file, columns)
    return Dialect(
        columns,
        delimiter,
        raw.quote,
        raw.encoding,
        given is None,
        raw.longest_record_lines,
        raw.longest_record_bytes,
    )


def json_keys(files: list[RawFile]) -> list[str]:
    """The keys of the first JSON_LINES lines of each file. Raises UserError where none of these is a JSON object."""
    keys: dict[str, None] = {}
    for file in files:
        if file.is_remote:
            raise UserError(f"{file.path}: fetch it first; JSON lines are read from local files only")
        with open_bytes(file) as stream:
            for line in islice(stream, JSON_LINES):
                with suppress(ValueError, AttributeError):
                    keys |= dict.fromkeys(json.loads(line).keys())
    if not keys:
        raise UserError(f'{files[0].path}: each line must be a JSON object: {{"user_id": 1, …}}')
    refuse_unusable_names(files[0], [*keys])
    return [*keys]


def refuse_unusable_names(file: RawFile, columns: list[str]) -> None:
    """Raise UserError where a name is reserved, or appears twice: SQL does not tell names apart by case."""
    lower = [name.lower() for name in columns]
    if repeated := sorted({name for name in columns if lower.count(name.lower()) > 1}):
        raise UserError(
            f"{file.path}: line 1 names a column twice: {', '.join(repeated)}; rename one of them "
            "(upper and lower case are the same in SQL), or if line 1 is a row, name the columns under `raw: columns:`"
        )
    if reserved := [name for name in columns if name.lower() in RESERVED_NAMES]:
        names = ", ".join(name or '""' for name in reserved)
        raise UserError(f"{file.path}: rename the column {names}: the name is reserved, or none")


def split_header(file: RawFile, line: str, delimiter: str, quote: str) -> list[str]:
    if len(delimiter) > 1 or not quote:
        return [name.strip() for name in line.strip("\r\n").split(delimiter)]
    reader = csv.reader([line], delimiter=delimiter, quotechar=quote, strict=True)
    try:
        return [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise UserError(
            f"{file.path}: line 1 must name every column, but it is not valid CSV: {error}"
        ) from error


def first_line(file: RawFile, encoding: str, *, is_header: bool) -> str:
    """A first line that is a row is decoded leniently: its faults are reported when rows are read."""
    if file.is_remote:
        return remote_first_line(file, encoding)
    with open_bytes(file) as stream:
        line = stream.readline(LONGEST_HEADER)
    if is_header and b"\r" in line.rstrip(b"\r\n"):
        raise UserError(f"{file.path}: lines end with a carriage return only; convert them to line feeds")
    try:
        return line.decode(
            "utf-8-sig" if encoding == "utf-8" else encoding, "strict" if is_header else "replace"
        )
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file.path}: line 1 is not {encoding.upper()}; name the file's `encoding:` under `raw:`"
        ) from error


def remote_first_line(file: RawFile, encoding: str) -> str:
    rows = remote_query(
        f"SELECT line FROM read_csv({quote_literal(file.path)}, auto_detect = false, header = false, "
        f"columns = {{'line': 'VARCHAR'}}, delim = '\x01', quote = '', escape = '', "
        f"encoding = {quote_literal(encoding)}) LIMIT 1",
        file.path,
    )
    return rows[0][0] + "\n" if rows and rows[0][0] else ""
