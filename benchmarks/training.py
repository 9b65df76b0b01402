"""How fast a network is trained, beside torch-rechub: rows/s, and what was learned after one epoch.

    PYTHONPATH=. python benchmarks/training.py [--cases text_384 text_64 users_5m] [--rounds 3]

The same made rows for both: a user, an item with a text vector, eight numbers, three binary labels. The same network:
MMoE, 4 experts of [128, 64], a tower of [32] for each task, ids embedded in 16. The same batches of 4,096, and as many
threads as there are cores. torch-rechub trains with its own trainer, as it comes; it has one way to be given a text,
which is as numbers. Each round is a process for each, in turn, so that a busy machine slows both; it trains two epochs,
says the validation loss after the first, and is timed in the second.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.peers import python_with_peers

BATCH, NUMBERS, TASKS, ITEMS, VALIDATION = 4096, 8, ("click", "like", "share"), 50_000, 32_768
EXPERT, EXPERTS, TOWER, ID = [128, 64], 4, [32], 16
RATE = 3e-3
"""Learning rate: without the batch normalisation of torch-rechub, what gets as far in one epoch."""


@dataclass(frozen=True)
class Case:
    users: int
    rows: int
    text: int
    """Width of the text vectors that both are given."""
    ours: Mapping[str, Mapping[str, Any]]
    """Settings of `model` and `training` by a name for them."""


AS_THEY_ARE = {"text_dimension": None}
CASES = {
    "text_384": Case(
        100_000,
        262_144,
        384,
        {
            "vectors as they are": AS_THEY_ARE,
            "the same in float32": {**AS_THEY_ARE, "precision": "float32"},
            "projected to 64": {"text_dimension": 64},
            "projected to 32": {"text_dimension": 32},
        },
    ),
    "text_64": Case(100_000, 262_144, 64, {"vectors as they are": AS_THEY_ARE}),
    "users_5m": Case(5_000_000, 131_072, 64, {"vectors as they are": AS_THEY_ARE}),
}


def made(case: Case, seed: int = 0) -> dict[str, np.ndarray]:
    """Users like items by hidden factors, which the texts of items tell, with noise."""
    random = np.random.default_rng(seed)
    rows = case.rows + VALIDATION
    of_items = random.standard_normal((ITEMS, 8), np.float32)
    of_users = random.standard_normal((case.users, 8), np.float32)
    text = of_items @ random.standard_normal((8, case.text), np.float32)
    text += random.standard_normal(text.shape, np.float32)
    user, item = random.integers(case.users, size=rows), random.integers(ITEMS, size=rows)
    numbers = random.standard_normal((rows, NUMBERS), np.float32)
    taste = (of_users[user] * of_items[item]).sum(1) / 3
    lean = of_items[item] @ random.standard_normal((8, len(TASKS)), np.float32) / 3
    logits = taste[:, None] + lean + numbers[:, : len(TASKS)] - 1
    labels = random.random(logits.shape) < 1 / (1 + np.exp(-logits))
    return {
        "user": user,
        "item": item,
        "numbers": numbers,
        "labels": labels.astype(np.float32),
        "text": text / np.sqrt((text**2).mean()),
    }


def ours(data: Mapping[str, np.ndarray], users: int, settings: Mapping[str, Any]) -> dict[str, float]:
    """Through the project's own network, batches, optimisers and training step, without its validation rounds."""
    import torch

    from mtl_pipeline.hardware import keep_freed_memory
    from mtl_pipeline.learning.balancing import BALANCERS
    from mtl_pipeline.learning.data.encoding import Rows
    from mtl_pipeline.learning.network import MultiTaskNetwork
    from mtl_pipeline.learning.representation.representation import NetworkShape
    from mtl_pipeline.learning.training.batches import ROUNDS_PER_EPOCH, Batches
    from mtl_pipeline.learning.training.callbacks.base import Run
    from mtl_pipeline.learning.training.callbacks.weight_averaging import WeightAveraging
    from mtl_pipeline.learning.training.loop import train_on
    from mtl_pipeline.learning.training.optimisation.losses import task_losses
    from mtl_pipeline.learning.training.optimisation.optimizers import make_optimizers
    from mtl_pipeline.spec import Model, Task, Training

    keep_freed_memory()
    tensors = {name: torch.from_numpy(values) for name, values in data.items()}
    none = torch.zeros(len(data["user"]), 0, dtype=torch.int64)
    rows = Rows(
        ids=torch.stack([tensors["user"], tensors["item"]], 1).int() + 1,
        categorical=none.int(),
        numeric=tensors["numbers"],
        text=tensors["item"][:, None].int(),
        labels=tensors["labels"],
        sequence=none,
    )
    train, validation = rows[: len(rows) - VALIDATION], rows[len(rows) - VALIDATION :]
    sections = [
        section(**{name: value for name, value in settings.items() if name in section.model_fields})
        for section in (Model, Training)
    ]
    model = sections[0].model_copy(
        update={"hidden": EXPERT, "experts": EXPERTS, "tower": TOWER, "id_dimension": ID, "id_dropout": 0.0}
    )
    training = sections[1].model_copy(
        update={"batch_size": BATCH, "weighting": "static", "learning_rate": RATE}
    )
    torch.manual_seed(0)
    tasks = [Task(name=name, kind="binary") for name in TASKS]
    shape = NetworkShape({"user_id": users, "item_id": ITEMS}, (), NUMBERS, tuple(1 for _ in tasks))
    network = MultiTaskNetwork(model, shape, {"items": tensors["text"]})
    balancer = BALANCERS["static"](tasks)
    optimizers = make_optimizers(network, balancer, training)
    average = WeightAveraging()
    average.start(run := Run(network, tasks, train, len(train) // ROUNDS_PER_EPOCH, seed=0))
    batches, seconds, loss = Batches(train, 2, BATCH), [], []
    for _ in range(2):
        started = time.perf_counter()
        for _ in range(ROUNDS_PER_EPOCH):
            train_on(batches.draw(), run, balancer, optimizers, [average], training)
        seconds.append(time.perf_counter() - started)
        with average.validating(), torch.no_grad():
            network.eval()
            loss.append(float(task_losses(network(validation), validation.labels, tasks).mean()))
    return {"rows_per_second": len(train) / seconds[1], "loss": loss[0]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ours", nargs=3, metavar=("FILE", "USERS", "SETTINGS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        file, users, settings = options.ours
        print(json.dumps(ours(dict(np.load(file)), int(users), json.loads(settings))))
        return
    peers = python_with_peers()
    print("| rows | | rows/s | ÷ torch-rechub (each round) | loss after one epoch |\n|---|---|--:|--:|--:|")
    for name in options.cases:
        measure(name, CASES[name], options.rounds, peers)


def measure(name: str, case: Case, rounds: int, peers: Path) -> None:
    """A table row for each of those compared."""
    with TemporaryDirectory() as folder:
        file = str(Path(folder, "rows.npz"))
        np.savez(file, **made(case))
        commands = {
            "torch-rechub": [peers, Path(__file__).with_name("training_peers.py"), file, case.users],
            **{
                which: [sys.executable, __file__, "--ours", file, case.users, json.dumps(settings)]
                for which, settings in case.ours.items()
            },
        }
        found: dict[str, list[dict[str, float]]] = {which: [] for which in commands}
        for _ in range(rounds):
            for which, command in commands.items():
                found[which].append(json.loads(output_of(list(map(str, command)))))
    theirs = [run["rows_per_second"] for run in found["torch-rechub"]]
    for which, runs in found.items():
        rates = [run["rows_per_second"] for run in runs]
        ratios = [rate / of for rate, of in zip(rates, theirs, strict=True)]
        shown = f"{median(ratios):.2f} ({', '.join(f'{ratio:.2f}' for ratio in ratios)})"
        print(f"| {name} | {which} | {median(rates):,.0f} | {shown} | {runs[0]['loss']:.4f} |", flush=True)


def output_of(command: list[str]) -> str:
    """The last line of it. Threads that wait must not keep the cores from those that work."""
    environment = {**os.environ, "GOMP_SPINCOUNT": "10000"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    main()
