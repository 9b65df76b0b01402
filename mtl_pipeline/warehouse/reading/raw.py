"""Raw files as they lie on disk or in a bucket: which ones a pipeline reads, and their content hashes."""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import RawFiles
from mtl_pipeline.warehouse.connection import load_httpfs
from mtl_pipeline.warehouse.templates import quote_literal

CHUNK_BYTES = 2**20
DATE_GLOB = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
MAGIC = re.compile(r"[*?\[]")
REMOTE = re.compile(r"^(s3|gcs|gs|r2|https?)://")
PARQUET_SUFFIXES = (".parquet", ".pq")
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
UNREADABLE_SUFFIXES = (".zip", ".zst", ".bz2", ".xz", ".7z", ".tar")


@dataclass(frozen=True)
class RawFile:
    """One raw file."""

    path: str
    """Absolute path or URL."""
    name: str
    """As it stands in `source_file`: relative to `data/<pipeline>/raw/`."""
    unpacked: str | None = None
    """Where a compressed file is unpacked while it is read."""

    @property
    def is_remote(self) -> bool:
        return is_remote(self.path)

    @property
    def is_parquet(self) -> bool:
        return self.path.endswith(PARQUET_SUFFIXES)

    @property
    def is_json(self) -> bool:
        return self.path.removesuffix(".gz").endswith(JSON_SUFFIXES)

    @property
    def is_compressed(self) -> bool:
        return self.path.endswith(".gz")


@dataclass(frozen=True)
class RawDescription:
    """Identity and size of the raw files of one table."""

    files: list[RawFile]
    version: str
    """SHA-256 of the content, and of the names where a pattern selects the files; for remote files of size and time."""
    bytes: int
    rows: int | None
    """Lines below the header, or rows of Parquet; None for remote files."""


def is_remote(path: str) -> bool:
    return REMOTE.match(path) is not None


def is_pattern(path: str) -> bool:
    return "{date}" in path or MAGIC.search(path) is not None


def find_raw_files(paths: PipelinePaths, raw: RawFiles, table: str) -> list[RawFile]:
    """The files of users, items or interactions, sorted by name.

    A pattern may hold `*`, `?`, `[…]`, `**` and `{date}`, which stands for YYYY-MM-DD.
    Raises UserError when there is none, or when CSV, JSON lines and Parquet are mixed.
    """
    pattern = getattr(raw, table)
    files = remote_files(pattern) if is_remote(pattern) else local_files(paths.raw, pattern)
    if not files:
        missing = f"{paths.raw / pattern} is missing"
        what = f"no file in {paths.raw} matches {pattern}" if is_pattern(pattern) else missing
        raise UserError(f"{what}: put the file there, or name another under `raw: {table}:` in defs.yaml")
    for file in files:
        if file.path.endswith(UNREADABLE_SUFFIXES):
            raise UserError(
                f"{file.path}: unpack it first; CSV, JSON lines, either with gzip (.gz), and Parquet can be read"
            )
    if len({(file.is_parquet, file.is_json) for file in files}) > 1:
        raise UserError(f"raw: {table}: {pattern} matches CSV, JSON or Parquet files; name one kind only")
    return files


def local_files(folder: Path, pattern: str) -> list[RawFile]:
    if (folder / pattern).is_file():
        return [RawFile(str(folder / pattern), pattern)]
    if not is_pattern(pattern):
        return []
    expanded = pattern.replace("{date}", DATE_GLOB)
    anchor = Path(pattern).anchor
    matches = (Path(anchor) if anchor else folder).glob(expanded.removeprefix(anchor))
    files = [
        RawFile(str(path), str(path.relative_to(folder) if path.is_relative_to(folder) else path))
        for path in matches
        if path.is_file()
    ]
    return sorted(files, key=lambda file: file.name)


def remote_files(pattern: str) -> list[RawFile]:
    if not is_pattern(pattern):
        return [RawFile(pattern, pattern)]
    expanded = pattern.replace("{date}", DATE_GLOB)
    rows = remote_query(f"SELECT file FROM glob({quote_literal(expanded)}) ORDER BY file", pattern)
    return [RawFile(path, path) for (path,) in rows]


def remote_query(query: str, path: str) -> list[tuple]:
    with duckdb.connect() as connection:
        load_httpfs(connection, path)
        try:
            return connection.execute(query).fetchall()
        except duckdb.Error as error:
            raise UserError(f"{path} cannot be read: {error}") from error


def describe_raw_files(paths: PipelinePaths, raw: RawFiles, table: str) -> RawDescription:
    """Hash and measure the raw files of a table. Hashes are kept as long as size and time stay the same.

    Raises UserError when there is none, or when one is empty.
    """
    files = find_raw_files(paths, raw, table)
    stamps = [stamp_of(file) for file in files]
    total = sum(size for size, _ in stamps)
    if files[0].is_remote:
        lines = [f"{file.path} {size} {time}" for file, (size, time) in zip(files, stamps, strict=True)]
        return RawDescription(files, digest_lines(lines), total, None)
    for file, (size, _) in zip(files, stamps, strict=True):
        if size == 0:
            raise UserError(f"{file.path} is empty: it needs a header line and rows")
    measured = [measure_file(file, *stamp) for file, stamp in zip(files, stamps, strict=True)]
    version = measured[0][0]
    if is_pattern(getattr(raw, table)):
        version = digest_lines(
            [f"{file.name} {digest}" for file, (digest, _) in zip(files, measured, strict=True)]
        )
    header_lines = 0 if table in raw.columns or files[0].is_parquet or files[0].is_json else 1
    return RawDescription(files, version, total, sum(rows - header_lines for _, rows in measured))


def digest_lines(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def file_stamps(paths: PipelinePaths, raw: RawFiles, table: str) -> dict[str, list[int | str]] | None:
    """Size and time of each file of a table, by name; None where there is nothing to read yet."""
    try:
        files = find_raw_files(paths, raw, table)
    except UserError:
        if is_remote(getattr(raw, table)):
            raise
        return None
    stamps: dict[str, list[int | str]] = {file.name: [*stamp_of(file)] for file in files}
    return stamps if all(size for size, _ in stamps.values()) else None


def stamp_of(file: RawFile) -> tuple[int, int | str]:
    """Size in bytes, and time of the last change."""
    if not file.is_remote:
        status = Path(file.path).stat()
        return status.st_size, status.st_mtime_ns
    query = f"SELECT size, last_modified::VARCHAR FROM read_blob({quote_literal(file.path)})"
    ((size, time),) = remote_query(query, file.path)
    return size, str(time)


@lru_cache(maxsize=10_000)
def measure_file(file: RawFile, size: int, time: int) -> tuple[str, int]:
    """SHA-256 of a local file, and its physical lines, header included, or rows of Parquet."""
    with Path(file.path).open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return digest, parquet_rows(file) if file.is_parquet else count_lines(file)


def parquet_rows(file: RawFile) -> int:
    """Rows of a local Parquet file, from its metadata. Raises UserError where it is broken."""
    try:
        return pq.read_metadata(file.path).num_rows
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{file.path} cannot be read as Parquet: {error}; deliver it again") from error


def count_lines(file: RawFile) -> int:
    """Physical lines of a local CSV file, header included."""
    lines, last = 0, b"\n"
    for chunk in read_chunks(file):
        lines += int(np.count_nonzero(np.frombuffer(chunk, np.uint8) == ord("\n")))
        last = chunk[-1:]
    return lines + (last != b"\n")


@contextmanager
def open_bytes(file: RawFile) -> Iterator[IO[bytes]]:
    """The content of a local file, decompressed. Raises UserError where a gzip file is damaged or cut off."""
    packed = file.is_compressed and not file.unpacked
    try:
        with gzip.open(file.path) if packed else Path(file.unpacked or file.path).open("rb") as stream:
            yield stream  # type: ignore[misc]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{file.path} is not a complete gzip file ({error}): deliver it again") from error


def read_chunks(file: RawFile) -> Iterator[bytes]:
    with open_bytes(file) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk
