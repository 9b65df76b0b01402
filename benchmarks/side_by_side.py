"""Training networks at once, each in a process of one thread, beside training them here one after the other with all
threads: seconds for the same epochs, in turn.

    python -m mtl_pipeline.workflows movielens tables embeddings examples    # or make demo: examples to train on
    PYTHONPATH=. python benchmarks/side_by_side.py movielens
"""

from __future__ import annotations

import argparse
import time

from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.training.at_once import side_by_side
from mtl_pipeline.learning.training.at_once.side_by_side import SideBySide, Wanted
from mtl_pipeline.paths import PipelinePaths, project_root
from mtl_pipeline.workflows.__main__ import declared

NEVER = 10**15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pipeline")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    spec = declared(wanted.pipeline)
    training = spec.training.model_copy(update={"epochs": wanted.epochs, "patience": 1000})
    spec = spec.model_copy(update={"training": training})
    dataset = Dataset(PipelinePaths(project_root(), wanted.pipeline), spec)
    sets = {
        "two seeds": [Wanted(None, seed) for seed in (1, 2)],
        "a seed of `make report`": [
            *(Wanted(task.name, 1) for task in spec.tasks),
            Wanted(None, 1),
            Wanted(None, 1, blind=True),
        ],
    }
    print("| | networks | one after the other, s | at once, s | ratio |\n|---|--:|--:|--:|--:|")
    for _ in range(wanted.rounds):
        for name, networks in sets.items():
            here, apart = (seconds(dataset, spec, networks, worth) for worth in (NEVER, 0))
            print(f"| {name} | {len(networks)} | {here:.1f} | {apart:.1f} | {here / apart:.2f} |", flush=True)


def seconds(dataset: Dataset, spec: side_by_side.PipelineSpec, wanted: list[Wanted], worth: int) -> float:
    started = time.perf_counter()
    side_by_side.WORTH_PROCESSES = worth
    with SideBySide(dataset, spec, wanted) as networks:
        for one in wanted:
            networks.ranker(one)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
