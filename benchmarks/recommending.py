"""What recommendations cost for each candidate: SQL features, encoding, network, and the best of each user.

    python benchmarks/recommending.py --users 3000 --items 3000 --logs 200000 2000000
    python benchmarks/recommending.py --sequence
    python benchmarks/recommending.py --items 100000 --each 200

Makes a warehouse and text vectors of its own, a network with random weights (it computes what a trained one does), and
goes through `--frames` blocks of candidates. Processor seconds are the figure to compare on a busy machine; the last
column is candidates on the clock, with as many threads as torch and DuckDB have.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pyarrow as pa
import torch

from mtl_pipeline.learning.data.encoding import FeatureEncoder
from mtl_pipeline.learning.data.pairs import encode_pairs, encode_side
from mtl_pipeline.learning.network import MultiTaskNetwork
from mtl_pipeline.learning.ranker.members import Member
from mtl_pipeline.learning.ranker.ranker import LabelScale, Ranker
from mtl_pipeline.learning.recommending import best_per_user, prediction_columns
from mtl_pipeline.learning.representation.representation import NetworkShape
from mtl_pipeline.learning.representation.sequences import SEQUENCE_ENCODERS
from mtl_pipeline.learning.representation.sequences.base import SequenceShape
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.vectors import write_vectors
from mtl_pipeline.warehouse.connection import open_warehouse
from mtl_pipeline.warehouse.features.candidates import build_candidates
from mtl_pipeline.warehouse.features.point_in_time import numeric_features

CATEGORIES, BRANDS, DAYS, TEXT_DIMENSION = 20, 200, 60, 384
PLAIN: dict = {
    "features": {
        "users": {"categorical": ["gender"], "numeric": ["age"]},
        "items": {"categorical": ["category", "brand"], "numeric": ["log_price"]},
        "history": [
            {"by": ["user_id"], "statistic": "count", "label": "purchase"},
            {"by": ["user_id"], "statistic": "mean", "label": "click"},
            {"by": ["user_id", "category"], "statistic": "count", "label": "click"},
            {"by": ["user_id", "category"], "statistic": "mean", "label": "click"},
            {"by": ["item_id"], "statistic": "count", "label": "click", "within_days": 7},
            {"by": ["item_id"], "statistic": "mean", "label": "click"},
            {"by": ["item_id"], "statistic": "mean", "label": "purchase"},
        ],
    },
    "tasks": [
        {"name": "click", "kind": "binary"},
        {"name": "purchase", "kind": "binary", "given": "click"},
    ],
}
WITH_SEQUENCE = PLAIN | {
    "features": PLAIN["features"] | {"sequence": {"last": 20, "labels": ["purchase"]}},
}


def write_warehouse(paths: PipelinePaths, users: int, items: int, log: int) -> None:
    """And vectors of the items' texts."""
    vectors = np.random.default_rng(0).normal(size=(items, TEXT_DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    hashes = pa.array([bytes(16)] * items, pa.binary(16))
    write_vectors(paths.embeddings("items"), pa.array(range(items), pa.int64()), vectors, hashes, {})
    with open_warehouse(paths.warehouse) as connection:
        connection.execute(
            f"""
            SELECT setseed(0.5);
            CREATE TABLE users AS
            SELECT i AS user_id, if(i % 2 = 0, 'F', 'M') AS gender, 18 + i % 60 AS age FROM range({users}) AS t(i);
            CREATE TABLE items AS
            SELECT i AS item_id, 'c' || i % {CATEGORIES} AS category, 'b' || i % {BRANDS} AS brand,
                ln(1 + i % 90) AS log_price
            FROM range({items}) AS t(i);
            CREATE TABLE interactions AS
            SELECT user_id, item_id, timestamp, click::INTEGER AS click,
                if(click, (random() < 0.2)::INTEGER, NULL) AS purchase
            FROM (
                SELECT floor(random() * {users})::BIGINT AS user_id, floor(random() * {items})::BIGINT AS item_id,
                    TIMESTAMP '2026-01-01' + to_microseconds((i * {DAYS} * 86.4e9 / {log})::BIGINT) AS timestamp,
                    random() < 0.1 AS click
                FROM range({log}) AS t(i)
            );
            """
        )


def encoder_of(spec: PipelineSpec, users: int, items: int) -> FeatureEncoder:
    """With a vocabulary of all values, and means and deviations as if they had been taught."""
    values = {
        "user_id": range(users),
        "item_id": range(items),
        "gender": "FM",
        "category": [f"c{number}" for number in range(CATEGORIES)],
        "brand": [f"b{number}" for number in range(BRANDS)],
    }
    vocabulary = [
        pl.DataFrame({"feature": name, "value": list(map(str, found))}).with_row_index("index", offset=1)
        for name, found in values.items()
    ]
    statistics = pl.DataFrame(
        [
            {
                "feature": name,
                "transform": transform,
                "mean": 0.5,
                "standard_deviation": 2.0,
                "missing": float(name.endswith("mean")),
            }
            for name, transform in numeric_features(spec)
        ]
    )
    ids = {"user_id": pl.Series(range(users)), "item_id": pl.Series(range(items))}
    return FeatureEncoder(spec, statistics, pl.concat(vocabulary), {}, ids)


def ranker_of(spec: PipelineSpec, encoder: FeatureEncoder, users: int, items: int) -> Ranker:
    torch.manual_seed(0)
    shape = NetworkShape(
        {"user_id": users, "item_id": items},
        tuple(encoder.fields),
        len(encoder.numeric_names),
        tuple(task.outputs for task in spec.tasks),
        SequenceShape.of(spec),
    )
    texts = {"users": torch.randn(users, TEXT_DIMENSION), "items": torch.randn(items, TEXT_DIMENSION)}
    tasks = list(spec.tasks)
    return Ranker(
        [Member.of(MultiTaskNetwork(spec.model, shape, texts), tasks)],
        tasks,
        LabelScale([0.0] * len(tasks), [1.0] * len(tasks)),
    )


class Stages:
    """Processor seconds by stage, and those on the clock together."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.clock = 0.0

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        started, clock = time.process_time(), time.perf_counter()
        yield
        self.clock += (stage != "once") * (time.perf_counter() - clock)
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.process_time() - started


def measure(
    root: Path, spec: PipelineSpec, users: int, items: int, log: int, frames: int
) -> tuple[Stages, int]:
    """What was spent, and the candidates that it was spent on."""
    paths = PipelinePaths(root, "shop")
    write_warehouse(paths, users, items, log)
    encoder = encoder_of(spec, users, items)
    ranker = ranker_of(spec, encoder, users, items)
    stages, candidates = Stages(), 0
    with ExitStack() as stack:
        with stages.timed("once"):
            made = stack.enter_context(build_candidates(paths, spec))
            blocks = islice(made.blocks, frames)
            items_encoded, chosen = encode_side(encoder, made.items), encoder.encode_chosen(made.chosen)
        while True:
            with stages.timed("features"):
                block = next(blocks, None)
            if block is None:
                return stages, candidates
            with stages.timed("encoding"):
                pairs = encode_pairs(encoder, block, items_encoded, chosen)
            with stages.timed("network"):
                predictions = ranker.predict(pairs)
            with stages.timed("best"):
                columns = pl.DataFrame(prediction_columns(predictions, spec))
                per_user = spec.recommendations.per_user
                best_per_user(block, made.items["item_id"], columns, spec.default_score, per_user)
            candidates += int(block.on_offer.sum())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=3_000)
    parser.add_argument("--items", type=int, default=3_000)
    parser.add_argument("--logs", type=int, nargs="+", default=[200_000, 2_000_000], help="interactions")
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument(
        "--sequence",
        nargs="?",
        const="target_attention",
        choices=["none", *SEQUENCE_ENCODERS],
        help="with features.sequence, and the network reading it with this encoder",
    )
    parser.add_argument(
        "--each", type=int, help="with a candidate stage of so many items from each of its four sources"
    )
    options = parser.parse_args()
    stage = {"sources": ["popular", "newest", "neighbours", "text"], "each": options.each}
    encoder = None if options.sequence == "none" else options.sequence
    declared = (WITH_SEQUENCE if options.sequence else PLAIN) | {
        "model": {"sequence_encoder": encoder},
        "recommendations": {"candidates": stage if options.each else None},
    }
    spec = PipelineSpec.model_validate(declared)
    print(f"{torch.get_num_threads()} threads of torch; CPU seconds once, CPU µs for each candidate\n")
    print("| interactions | candidates | once, s | features | encoding | network | best | sum | thousand/s |")
    print("|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for log in options.logs:
        with TemporaryDirectory() as folder:
            stages, candidates = measure(
                Path(folder), spec, options.users, options.items, log, options.frames
            )
        seconds = stages.seconds
        once = seconds.pop("once")
        cells = [f"{spent / candidates * 1e6:.2f}" for spent in [*seconds.values(), sum(seconds.values())]]
        rate = f"{candidates / stages.clock / 1e3:,.0f}"
        print(f"| {log:,} | {candidates:,} | {once:.2f} | {' | '.join(cells)} | {rate} |", flush=True)


if __name__ == "__main__":
    main()
