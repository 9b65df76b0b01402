"""Blocks of drawn rows to files: formatted in threads, written in order."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from mtl_pipeline.simulation.exposure import Shown
from mtl_pipeline.simulation.planting import Planter, to_line
from mtl_pipeline.simulation.scenario import DEVICES, NOT_OBSERVED, Outcomes

THREADS = 2
MOST_WAITING = 4
GROUP_ROWS = 200_000


@dataclass(frozen=True)
class Block:
    """Consecutive interactions, and the number of the first one."""

    first: int
    shown: Shown
    context: dict[str, np.ndarray]
    outcomes: Outcomes


def write_logs(
    log: Path,
    truth: Path,
    blocks: Iterable[Block],
    planter: Planter,
    generator: Callable[[int], np.random.Generator],
    on_progress: Callable[[int], object],
) -> None:
    """Write interactions.csv, dirty rows planted, and the true probabilities of the good rows."""

    def format_block(block: Block) -> tuple[bytes, pa.Table]:
        lines = to_csv(interaction_rows(block, planter.header))
        return planter.plant(generator(block.first), lines, block.first), truth_rows(block)

    with log.open("wb") as file, TruthWriter(truth) as truths:
        file.write(to_line(planter.header))
        for lines, rows in map_in_threads(format_block, blocks):
            file.write(lines)
            truths.write(rows)
            on_progress(len(rows))


def interaction_rows(block: Block, header: Iterable[str]) -> pl.DataFrame:
    shown = block.shown
    columns: list[np.ndarray | pl.Series] = [
        shown.user + 1,
        shown.item + 1,
        shown.times.milliseconds,
        shown.position,
        pl.Series(DEVICES).gather(shown.device),
        *block.context.values(),
        *block.outcomes.labels.values(),
    ]
    labels = list(block.outcomes.labels)
    return pl.DataFrame(dict(zip(header, columns, strict=True))).with_columns(
        pl.when(pl.col(label) != NOT_OBSERVED).then(label) for label in labels
    )


def truth_rows(block: Block) -> pa.Table:
    shown = block.shown
    return pa.table(
        {
            "user_id": shown.user + np.int32(1),
            "item_id": shown.item + np.int32(1),
            "timestamp": pa.array(shown.times.milliseconds * 1000).cast(pa.timestamp("us")),
            **block.outcomes.truth,
        }
    )


def to_csv(rows: pl.DataFrame) -> bytes:
    """The rows as CSV without a header."""
    lines = io.BytesIO()
    rows.write_csv(lines, include_header=False)
    return lines.getvalue()


class TruthWriter:
    """A Parquet file written in row groups of some size, whatever the size of the blocks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.waiting: list[pa.Table] = []
        self.writer: pq.ParquetWriter | None = None

    def __enter__(self) -> TruthWriter:
        return self

    def __exit__(self, *error: object) -> None:
        if self.waiting:
            self.write_group()
        if self.writer:
            self.writer.close()

    def write(self, rows: pa.Table) -> None:
        self.waiting.append(rows)
        if sum(map(len, self.waiting)) >= GROUP_ROWS:
            self.write_group()

    def write_group(self) -> None:
        group = pa.concat_tables(self.waiting)
        self.waiting.clear()
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.path, group.schema, compression="lz4", use_dictionary=False)
        self.writer.write_table(group)


def map_in_threads(
    function: Callable[[Block], tuple[bytes, pa.Table]], blocks: Iterable[Block]
) -> Iterator[tuple[bytes, pa.Table]]:
    """The function's results in order, computed while further blocks are drawn. Only a few blocks wait."""
    waiting: deque[Future] = deque()
    with ThreadPoolExecutor(THREADS) as threads:
        for block in blocks:
            waiting.append(threads.submit(function, block))
            if len(waiting) > MOST_WAITING:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
