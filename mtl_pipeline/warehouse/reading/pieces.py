"""Raw CSV files as DuckDB reads them: in pieces cut between records, without the records that have no end."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from fsspec import AbstractFileSystem

from mtl_pipeline.warehouse.reading.lines import FileRecords, Piece
from mtl_pipeline.warehouse.reading.raw import CHUNK_BYTES, RawFile, open_bytes

DIGITS = 6


class PieceFileSystem(AbstractFileSystem):
    """Serves DuckDB the pieces of one table's files, as UTF-8, and nothing else.

    A piece is called <protocol>://<number>/<name of the file>, whatever characters that name has.
    """

    cachable = False

    def __init__(self, table: str, files: list[tuple[RawFile, FileRecords]], encoding: str) -> None:
        super().__init__()
        self.protocol = f"raw-{table}"
        self.encoding = encoding
        self.pieces: list[tuple[RawFile, Piece]] = []
        self.paths: list[str] = []
        """Paths of all pieces, in the order of the files."""
        for file, layout in files:
            for piece in layout.pieces:
                self.paths.append(f"{self.protocol}://{len(self.paths):0{DIGITS}}/{file.name}")
                self.pieces.append((file, piece))
        self.numbers = {path: number for number, path in enumerate(self.paths)}
        self.sizes: dict[str, int] = {}

    def glob(self, path: str, **_: object) -> list[str]:
        """A name is never a pattern."""
        return [path] if path in self.numbers else []

    def size(self, path: str) -> int:
        return self.sizes[path]

    def _open(self, path: str, mode: str = "rb", **_: object) -> io.BytesIO:
        path = f"{self.protocol}://{path.removeprefix(f'{self.protocol}://')}"
        content = read_piece(*self.pieces[self.numbers[path]], self.encoding)
        self.sizes[path] = len(content)
        return io.BytesIO(content)


def read_piece(file: RawFile, piece: Piece, encoding: str) -> bytes:
    """The records of a piece in UTF-8, each with its line end."""
    with open_bytes(file) as stream:
        stream.seek(piece.start)
        content = stream.read(piece.end - piece.start)
    if content and not content.endswith(b"\n"):
        content += b"\n"
    if len(piece.dropped) or piece.has_returns:
        data = np.frombuffer(content, np.uint8)
        content = data[bytes_to_keep(data, piece)].tobytes()
    return content if encoding == "utf-8" else content.decode(encoding).encode()


def bytes_to_keep(data: np.ndarray, piece: Piece) -> np.ndarray:
    """Which bytes of a piece DuckDB is given: bool [bytes]."""
    steps = np.zeros(len(data) + 1, dtype=np.int8)
    starts, ends = np.minimum(piece.dropped, len(data)).T
    steps[starts] += 1
    steps[ends] -= 1
    keep = np.cumsum(steps, dtype=np.int8)[:-1] == 0
    if piece.has_returns:
        before_line_feed = np.flatnonzero((data[:-1] == ord("\r")) & (data[1:] == ord("\n")))
        keep[np.setdiff1d(before_line_feed, piece.quoted_returns, assume_unique=True)] = False
    return keep


@contextmanager
def unpacked(files: list[RawFile], warehouse: Path) -> Iterator[list[RawFile]]:
    """The same files, with those in gzip unpacked beside the warehouse: pieces are read from anywhere in a file.

    Only for the process that holds the warehouse's write lock. Raises UserError where a file is damaged.
    """
    folder = warehouse.with_name(f"{warehouse.name}.unpacked")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield [unpack(file, folder / str(number)) for number, file in enumerate(files)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unpack(file: RawFile, target: Path) -> RawFile:
    if not file.is_compressed or file.is_remote:
        return file
    target.parent.mkdir(exist_ok=True)
    with open_bytes(file) as stream, target.open("wb") as copy:
        shutil.copyfileobj(stream, copy, CHUNK_BYTES)
    return replace(file, unpacked=str(target))
