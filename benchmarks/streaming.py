"""Training on rows that are read while it goes on, against rows in memory: rows/s and peak memory.

    python benchmarks/streaming.py --rows 2000000 --ways memory streamed
    python benchmarks/streaming.py --rows 50000000 --ways streamed --folder <a disk with 10 GB>

Makes examples of `--users` users and 50,000 items with texts, and for each way trains for `--steps` steps in a process
of its own, the ways in turns for `--rounds` rounds. The clock starts before the first shuffle, and validation counts.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa

from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.training.callbacks.base import Callback, Run
from mtl_pipeline.learning.training.callbacks.gradient_conflict import GradientConflict
from mtl_pipeline.learning.training.loop import fit_network
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import publish_folder
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.vectors import write_vectors

ITEMS, TEXT_DIMENSION, HELD_OUT = 50_000, 384, 20_000
NUMBERS = [f"number_{place}" for place in range(12)]
CATEGORIES = {"country": 50, "device": 4, "hour": 24, "category": 100}
SPEC = {
    "features": {"users": {"text": None}, "interactions": {"categorical": [*CATEGORIES], "numeric": NUMBERS}},
    "tasks": [{"name": "click", "kind": "binary"}, {"name": "purchase", "kind": "binary", "given": "click"}],
}


def write_examples(paths: PipelinePaths, rows: int, users: int) -> None:
    columns = [f"('v' || floor(random() * {size})::INTEGER) AS {name}" for name, size in CATEGORIES.items()]
    columns += [f"random() AS {name}" for name in NUMBERS]
    values = {"user_id": [*range(users)], "item_id": [*range(ITEMS)]}
    values |= {name: [f"v{value}" for value in range(size)] for name, size in CATEGORIES.items()}
    vocabulary = [
        pl.DataFrame({"feature": name, "value": list(map(str, found))}).with_row_index("index", offset=1)
        for name, found in values.items()
    ]
    uniform = {"mean": 0.5, "standard_deviation": 0.29, "missing": 0, "lower": 0.0, "upper": 1.0}
    statistics = pl.DataFrame([{"feature": name, "transform": "none", **uniform} for name in NUMBERS])
    with publish_folder(paths.examples) as folder, duckdb.connect() as connection:
        connection.execute(
            f"""COPY (
                SELECT i AS example_id, floor(random() * {users})::BIGINT AS user_id,
                    floor(random() * {ITEMS})::BIGINT AS item_id, TIMESTAMP '2026-01-01' + to_seconds(i) AS timestamp,
                    if(i < {rows}, 'train', if(i % 2 = 0, 'validation', 'test')) AS split,
                    (random() < 0.1)::DOUBLE AS click,
                    if(random() < 0.1, (random() < 0.2)::DOUBLE, NULL) AS purchase, {", ".join(columns)}
                FROM range({rows + HELD_OUT}) AS t(i)
            ) TO '{folder / "examples.parquet"}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"""
        )
        pl.concat(vocabulary).write_parquet(folder / "vocabulary.parquet")
        statistics.write_parquet(folder / "statistics.parquet")
    vectors = np.random.default_rng(0).normal(size=(ITEMS, TEXT_DIMENSION)).astype(np.float32)
    ids, hashes = pa.array(range(ITEMS), pa.int64()), pa.array([bytes(16)] * ITEMS, pa.binary(16))
    made_by = {"encoder_fingerprint": "random", "encoder": "{}"}
    write_vectors(paths.embeddings("items"), ids, vectors, hashes, made_by)


class Enough(Exception):
    pass


class Clock(Callback):
    def __init__(self, steps: int) -> None:
        self.left = steps

    def start(self, run: Run) -> None:
        self.started = time.time()

    def after_step(self) -> None:
        self.left -= 1
        if not self.left:
            raise Enough


def measure(paths: PipelinePaths, way: str, steps: int) -> str:
    training, begun, clock = {"rows_in_memory": 1 if way == "streamed" else 10**12}, time.time(), Clock(steps)
    spec = PipelineSpec.model_validate(SPEC | {"training": training})
    with suppress(Enough):
        fit_network(Dataset(paths, spec), spec, spec.tasks, lambda line: None, [GradientConflict(), clock])
    rate = steps * spec.training.batch_size / (time.time() - clock.started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return f"{way}: {rate:,.0f} rows/s after {clock.started - begun:.1f} s, at most {peak:,.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, default in {"rows": 2_000_000, "users": 100_000, "steps": 900, "rounds": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--ways", nargs="+", default=["memory", "streamed"])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--measure", help="in this process, on what --folder holds")
    options = parser.parse_args()
    if options.measure:
        print(measure(PipelinePaths(options.folder, "stream"), options.measure, options.steps))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as root:
        write_examples(PipelinePaths(Path(root), "stream"), options.rows, options.users)
        command = [sys.executable, __file__, "--folder", root, "--steps", str(options.steps), "--measure"]
        for way in options.ways * options.rounds:
            subprocess.run([*command, way], check=True)


if __name__ == "__main__":
    main()
