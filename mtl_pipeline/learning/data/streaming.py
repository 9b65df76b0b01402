"""The training split where it has more rows than are to be in memory: read again from Parquet whenever it is needed.

In memory stay the labels, and on which line of the file each row is. An epoch takes the file's row groups in a random
order; the rows of several groups are shuffled together, as in a shuffle buffer, while a thread reads the next ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import BinaryIO, Protocol, Self

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import torch
from torch import Tensor

from mtl_pipeline.learning.data.encoding import Chosen, FeatureEncoder, Rows
from mtl_pipeline.publishing import DESCRIPTORS

ROWS_AT_ONCE = 1 << 20
"""Rows that are shuffled together: 8 row groups as DuckDB writes them. Two such buffers are in memory, the one that is
trained on and the one that is being read, and the latter's raw values."""
SAMPLE = 1_000_000

Pieces = Callable[[int, int], Iterator[tuple[Tensor, Rows]]]
"""From one place of an epoch's order up to before another: row numbers, int64 [rows of a piece], and the rows."""


class TrainingRows(Protocol):
    """What a network learns from: `Rows`, which are in memory, or `StreamedRows`."""

    @property
    def labels(self) -> Tensor:
        """As in `Rows`: always in memory, on the device that rows come on."""

    def __len__(self) -> int: ...

    def __getitem__(self, numbers: Tensor, /) -> Rows:
        """Just these rows, in this order. `numbers`: int64 [rows], from 0."""

    def batches(self, size: int) -> Iterator[Rows]:
        """All rows in their order, at most `size` at a time."""

    def to(self, device: torch.device) -> Self: ...

    def labelled(self, labels: Tensor) -> TrainingRows:
        """Those with any of these labels, which replace their own: float32 [rows, tasks], NaN where not observed."""

    def shuffled(self, passes: int, batch_size: int) -> Pieces:
        """An order in which each pass has every row once, drawn from torch's generator; pieces end with whole batches,
        but the last."""

    def sample(self) -> Rows:
        """Enough rows to see how values are distributed: all, where they are in memory."""


@dataclass(frozen=True)
class ParquetLines:
    """The lines of a Parquet file, which is open until nobody reads it any more: it may be deleted meanwhile."""

    file: BinaryIO
    replaced: tuple[pl.Expr, ...] = ()
    """Columns that are not as the file has them."""

    @property
    def all(self) -> pl.LazyFrame:
        return pl.scan_parquet(DESCRIPTORS / str(self.file.fileno())).with_columns(*self.replaced)

    @cached_property
    def groups(self) -> Tensor:
        """int32 [row groups + 1]: the line that each begins with; and the number of lines."""
        found = pq.ParquetFile(self.file).metadata
        sizes = [found.row_group(group).num_rows for group in range(found.num_row_groups)]
        return torch.tensor([0, *np.cumsum(sizes)], dtype=torch.int32)


@dataclass(frozen=True)
class StreamedRows:
    """Examples that are read and encoded when they are asked for."""

    source: ParquetLines
    encoder: FeatureEncoder
    chosen: Chosen | None
    lines: Tensor
    """int32 [rows], rising: where each lies in the file."""
    labels: Tensor
    """float32 [rows, tasks]: as in `Rows`."""
    most: int
    """No more than so many are held in memory instead."""

    @classmethod
    def of(
        cls, source: ParquetLines, kept: pl.Expr, encoder: FeatureEncoder, chosen: Chosen | None, most: int
    ) -> StreamedRows:
        """The lines that are `kept`; reads the columns that this needs, and the labels."""
        lines, labels = [], []
        for start, end in pairwise(source.groups.tolist()):
            numbered = source.all.slice(start, end - start).with_row_index("line", offset=start)
            frame = numbered.filter(kept).select(pl.col("line").cast(pl.Int32), *encoder.tasks).collect()
            lines.append(torch.from_numpy(frame["line"].to_numpy(writable=True)))
            labels.append(encoder.labels(frame))
        return cls(source, encoder, chosen, torch.cat(lines), torch.cat(labels), most)

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, numbers: Tensor) -> Rows:
        """Row groups without any of the rows are not read."""
        device, groups = self.labels.device, self.source.groups
        lines, order = self.lines[numbers.cpu()].sort()
        needed = pairwise(torch.searchsorted(lines, groups).tolist())
        frames = [
            self.source.all.slice(start, end - start).collect()[(lines[first:last] - start).numpy()]
            for (start, end), (first, last) in zip(pairwise(groups.tolist()), needed, strict=True)
            if first < last
        ]
        encoded = self.encoder.encode(pl.concat(frames), self.chosen)
        place = order.argsort().to(device)
        rows = encoded.each(lambda tensor: tensor.to(device)[place])
        return replace(rows, labels=self.labels[numbers.to(device)])

    def batches(self, size: int) -> Iterator[Rows]:
        starts = range(0, len(self), ROWS_AT_ONCE)
        pieces = (torch.arange(start, min(start + ROWS_AT_ONCE, len(self))) for start in starts)
        return (batch for _, rows in self.read_ahead(pieces) for batch in rows.batches(size))

    def to(self, device: torch.device) -> StreamedRows:
        chosen = self.chosen.to(device) if self.chosen else None
        return replace(self, labels=self.labels.to(device), chosen=chosen)

    def labelled(self, labels: Tensor) -> TrainingRows:
        some = (~labels.isnan()).any(1)
        found = replace(self, lines=self.lines[some.cpu()], labels=labels[some])
        return found if len(found) > self.most else found[torch.arange(len(found))]

    def shuffled(self, passes: int, batch_size: int) -> Pieces:
        numbers = torch.searchsorted(self.lines, self.source.groups)
        groups = torch.cat([torch.randperm(len(numbers) - 1) for _ in range(passes)])
        seed = int(torch.randint(1 << 62, ()))
        ends = numbers.diff()[groups].cumsum(0)
        shift = numbers[1:][groups] - ends  # from a place in the order of groups to the row's number
        step = batch_size * max(1, ROWS_AT_ONCE // batch_size)

        def piece(start: int, end: int) -> Tensor:
            places = torch.arange(start, end)
            random = torch.Generator().manual_seed(seed + start)
            found = places + shift[torch.searchsorted(ends, places, right=True)]
            return found[torch.randperm(len(found), generator=random)]

        return lambda first, end: self.read_ahead(
            piece(start, min(start + step, end)) for start in range(first, end, step)
        )

    def sample(self) -> Rows:
        random = np.random.default_rng(0)
        drawn = random.choice(len(self), min(SAMPLE, len(self)), replace=False, shuffle=False)
        return self[torch.from_numpy(np.sort(drawn))]

    def read_ahead(self, pieces: Iterator[Tensor]) -> Iterator[tuple[Tensor, Rows]]:
        """Each piece with its rows, while the next one is read."""
        with ThreadPoolExecutor(1) as thread:
            reading: list[tuple[Tensor, Future[Rows]]] = []
            for piece in pieces:
                reading.append((piece.to(self.labels.device), thread.submit(self.__getitem__, piece)))
                if len(reading) > 1:
                    numbers, rows = reading.pop(0)
                    yield numbers, rows.result()
                    del rows  # before more is read
            for numbers, rows in reading:
                yield numbers, rows.result()
