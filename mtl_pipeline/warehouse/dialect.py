"""How CSV files are written: column names, delimiter, quotes, line ends and encoding."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace

import numpy as np

from mtl_pipeline.errors import UserError
from mtl_pipeline.spec import RawFiles
from mtl_pipeline.warehouse.raw import RawFile, open_bytes, read_chunks, remote_query
from mtl_pipeline.warehouse.sql import quote_literal

LONGEST_HEADER = 2**20
DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Dialect:
    """How the CSV files of one table are written."""

    columns: list[str]
    delimiter: str
    quote: str
    encoding: str
    has_header: bool
    padded: bool = True
    """Whether values may be blank or have spaces around them."""


def read_dialect(files: list[RawFile], raw: RawFiles, table: str) -> Dialect:
    """The settings of `raw:`, completed from the header lines of the files.

    Raises UserError when a header cannot be used, or when the files' headers differ.
    """
    first = file_dialect(files[0], raw, table)
    if first.has_header:
        for file in files[1:]:
            refuse_other_columns(file, file_dialect(file, raw, table), files[0], first)
    return replace(first, padded=any(has_padding(file, first) for file in files))


def has_padding(file: RawFile, dialect: Dialect) -> bool:
    """Whether a local file has a space beside a delimiter, quote or line end, or an empty quoted value.

    Finding none takes a tenth of the time that trimming all values takes.
    """
    if file.is_remote or file.is_compressed:
        return True
    edges = np.frombuffer(f"{dialect.delimiter}{dialect.quote}\r\n".encode(), np.uint8)
    is_edge = np.zeros(256, dtype=bool)
    is_edge[edges] = True
    before = b"\n"
    for chunk in read_chunks(file):
        data = np.frombuffer(before + chunk, np.uint8)
        spaces = np.flatnonzero(data == ord(" "))
        previous, following = spaces[spaces > 0] - 1, spaces[spaces + 1 < len(data)] + 1
        if is_edge[data[previous]].any() or is_edge[data[following]].any():
            return True
        if dialect.quote:
            quotes = data == ord(dialect.quote)
            if quotes.any() and (quotes[1:] & quotes[:-1]).any():
                return True
        before = chunk[-1:]
    return before == b" "


def refuse_other_columns(file: RawFile, dialect: Dialect, first_file: RawFile, first: Dialect) -> None:
    if dialect == first:
        return
    differing = sorted(set(dialect.columns) ^ set(first.columns))
    what = f"differing: {', '.join(differing)}" if differing else "in another order or with another delimiter"
    raise UserError(
        f"{file.path} has other columns than {first_file.name} ({what}): all files of a table need the "
        f"header {first.delimiter.join(first.columns)}"
    )


def file_dialect(file: RawFile, raw: RawFiles, table: str) -> Dialect:
    line = first_line(file, raw.encoding)
    if not line:
        raise UserError(f"{file.path} is empty: it needs a header line and rows")
    delimiter = raw.delimiter or max(DELIMITERS, key=line.count)
    given = raw.columns_of(table)
    columns = given or split_header(line, delimiter)
    if not columns or "" in columns:
        raise UserError(f"{file.path}: line 1 must name every column, got: {line.strip() or '(blank)'}")
    if repeated := sorted({name for name in columns if columns.count(name) > 1}):
        raise UserError(f"{file.path}: line 1 names a column twice: {', '.join(repeated)}")
    return Dialect(columns, delimiter, raw.quote, raw.encoding, has_header=given is None)


def split_header(line: str, delimiter: str) -> list[str]:
    if len(delimiter) > 1:
        return [name.strip() for name in line.strip("\r\n").split(delimiter)]
    return [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]


def first_line(file: RawFile, encoding: str) -> str:
    if file.is_remote:
        return remote_first_line(file, encoding)
    with open_bytes(file) as stream:
        line = stream.readline(LONGEST_HEADER)
    if b"\r" in line.rstrip(b"\r\n"):
        raise UserError(f"{file.path}: lines end with a carriage return only; convert them to line feeds")
    try:
        return line.decode("utf-8-sig" if encoding == "utf-8" else encoding)
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
