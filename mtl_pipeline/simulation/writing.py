"""Blocks of drawn rows to files: formatted in threads, written in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from mtl_pipeline.simulation.exposure import DEVICES, Shown
from mtl_pipeline.simulation.planting import Planter, to_line
from mtl_pipeline.simulation.scenario import NOT_OBSERVED, Outcomes

THREADS = 2
MOST_WAITING = 4
GROUP_ROWS = 200_000
"""Rows of truth.parquet that make a row group, rounded up to whole blocks."""


@dataclass(frozen=True)
class Block:
    """Consecutive interactions, and the number of the first one."""

    first: int
    shown: Shown
    outcomes: Outcomes


def write_logs(
    log: Path,
    truth: Path,
    blocks: Iterable[Block],
    tasks: Sequence[str],
    planter: Planter,
    generator: Callable[[int], np.random.Generator],
    on_progress: Callable[[int], object],
) -> None:
    """Write interactions.csv, dirty rows planted, and the true outcomes of the good rows."""

    def format_block(block: Block) -> tuple[bytes, pa.Table]:
        lines = to_csv(interaction_rows(block, planter.header))
        return planter.plant(generator(block.first), lines, block.first), truth_rows(block)

    key = {"user_id": pa.int32(), "item_id": pa.int32(), "timestamp": pa.timestamp("us")}
    schema = pa.schema({**key, **dict.fromkeys(tasks, pa.float32())})
    group: list[pa.Table] = []
    with (
        log.open("wb") as file,
        pq.ParquetWriter(truth, schema, compression="lz4", use_dictionary=False) as truths,
    ):
        file.write(to_line(planter.header))
        for lines, rows in map_in_threads(format_block, blocks):
            file.write(lines)
            group.append(rows)
            if sum(map(len, group)) >= GROUP_ROWS:
                truths.write_table(pa.concat_tables(group))
                group.clear()
            on_progress(len(rows))
        if group:
            truths.write_table(pa.concat_tables(group))


def interaction_rows(block: Block, header: Iterable[str]) -> pl.DataFrame:
    shown, labels = block.shown, block.outcomes.labels
    columns: list[np.ndarray | pl.Series] = [
        shown.user + 1,
        shown.item + 1,
        shown.milliseconds,
        shown.position,
        pl.Series(DEVICES).gather(shown.device),
        *block.outcomes.context.values(),
        *labels.values(),
    ]
    return pl.DataFrame(dict(zip(header, columns, strict=True))).with_columns(
        pl.when(pl.col(label) != NOT_OBSERVED).then(label) for label in labels
    )


def truth_rows(block: Block) -> pa.Table:
    shown = block.shown
    return pa.table(
        {
            "user_id": shown.user + np.int32(1),
            "item_id": shown.item + np.int32(1),
            "timestamp": pa.array(shown.milliseconds * 1000).cast(pa.timestamp("us")),
            **block.outcomes.truth,
        }
    )


def to_csv(rows: pl.DataFrame) -> bytes:
    """The rows as CSV without a header."""
    return rows.write_csv(include_header=False).encode()


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
