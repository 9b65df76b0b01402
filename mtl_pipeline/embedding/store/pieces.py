"""Vectors as they are computed: pieces, written now and then, with which a run that comes later goes on.

Either beside the file that is to be written, until it is; or in a store that pipelines share, where they stay. Each
piece is a file of vectors of its own, with its checksum and a name that nobody else gives; one that is damaged is
deleted, and what it held computed again.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from mtl_pipeline.embedding.store.known import KnownVectors
from mtl_pipeline.errors import UserError
from mtl_pipeline.publishing import remove_unused
from mtl_pipeline.vectors import VectorsFile, open_vectors, write_groups

SECONDS_BETWEEN = 30.0
"""Between pieces: at most as much, and a batch, is computed again."""


@dataclass
class Pieces:
    folder: Path
    """Of one encoder."""
    shared: bool
    vectors: KnownVectors
    log: Callable[[str], None]
    kept: np.ndarray = field(init=False)
    """bool [d]: which of these texts need not be written."""
    written_at: float = field(init=False, default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.kept = np.zeros_like(self.vectors.known)

    def take_over(self) -> None:
        """What pieces hold becomes known. What was known before is kept in the store too, where there is one; but none
        is read as long as everything is known, lest an unchanged night costs as much as all that pipelines ever saw."""
        before = self.vectors.known.copy()
        if before.all() and (not self.shared or any(self.folder.glob("*.parquet"))):
            self.kept |= before
            return
        try:
            for piece in self.whole():
                self.kept |= self.vectors.take_over(piece)
        except OSError as error:
            self.log(f"{self.folder.parent} cannot be read ({error}): no vector is taken over from it")
        if found := np.count_nonzero(self.vectors.known & ~before):
            where = f"the store {self.folder.parent}" if self.shared else "a run that did not finish"
            self.log(f"Going on with {found:,} vectors of {where}")
        if not self.shared:
            self.kept |= before

    def whole(self) -> Iterator[VectorsFile]:
        """Pieces that are not damaged; others are deleted."""
        paths: list[Path] = []
        with suppress(FileNotFoundError):
            paths = sorted(path for path in self.folder.iterdir() if path.match("[!.]*.parquet"))
        for path in paths:
            try:
                with open_vectors(path) as piece:
                    yield piece
            except UserError:
                self.log(f"{path} is damaged: the vectors that it held are computed anew")
                with suppress(OSError):
                    path.unlink()

    def write_now_and_then(self) -> None:
        if time.monotonic() - self.written_at >= SECONDS_BETWEEN:
            self.write()

    def write(self) -> None:
        """What has become known since the last time. Where that is not possible, the run goes on without."""
        numbers = np.flatnonzero(self.vectors.known & ~self.kept)
        if len(numbers):
            hashes = self.vectors.hashes.take(pa.array(numbers))
            piece = self.folder / f"{time.time_ns()}-{uuid.uuid4().hex[:8]}.parquet"
            try:
                write_groups(
                    piece,
                    hashes,
                    self.vectors.dimension,
                    lambda rows: self.vectors.of(numbers[rows]),
                    {"encoder_fingerprint": self.folder.name, "encoder": "{}"},
                )
            except (OSError, UserError) as error:
                self.log(f"{len(numbers):,} vectors cannot be kept in {self.folder.parent}: {error}")
        self.kept[numbers] = True
        self.written_at = time.monotonic()

    def finish(self) -> None:
        """Once everything is published."""
        if self.shared:
            self.write()
            with suppress(OSError):
                for leftover in self.folder.glob(".*"):  # of writers that were killed
                    remove_unused(leftover, self.folder / "none")
