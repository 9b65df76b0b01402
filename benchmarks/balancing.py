"""What a step costs under each balancer: `python benchmarks/balancing.py`.

The default network (`mmoe`) with 3 tasks on random rows: ids, texts, categories and numbers, 176 inputs; batches of
2,048. Each method trains a network of its own, a step of one after a step of the other, so that other work on the
machine slows all alike. A step is forward, backward and the optimisers': CPU time of one thread, in medians over rounds
of eight steps, since some methods look at gradients in one of eight.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from mtl_pipeline.learning.balancing import BALANCERS, make_balancer
from mtl_pipeline.learning.balancing.factors.base import STEPS_BETWEEN
from mtl_pipeline.learning.data.encoding import CategoricalField, Rows
from mtl_pipeline.learning.network import MultiTaskNetwork
from mtl_pipeline.learning.representation.parts import learned
from mtl_pipeline.learning.representation.representation import NetworkShape
from mtl_pipeline.learning.training.optimisation.losses import task_losses
from mtl_pipeline.learning.training.optimisation.optimizers import make_optimizers
from mtl_pipeline.learning.training.optimisation.precision import mixed_precision
from mtl_pipeline.spec import Model, Task, Training

ROWS, IDS, FIELDS, NUMBERS = 2_048, 5_000, 5, 40
TASKS = [Task(name=name, kind="binary") for name in ("click", "purchase", "share")]


def random_rows() -> Rows:
    labels = (torch.rand(ROWS, len(TASKS)) < 0.3).float()
    return Rows(
        ids=torch.randint(IDS, (ROWS, 2), dtype=torch.int32),
        categorical=torch.randint(20, (ROWS, FIELDS), dtype=torch.int32),
        numeric=torch.randn(ROWS, NUMBERS),
        text=torch.randint(IDS, (ROWS, 1), dtype=torch.int32),
        labels=labels,
        sequence=torch.empty(ROWS, 0, dtype=torch.int64),
    )


def stepper(weighting: str, architecture: str, rows: Rows) -> Callable[[], None]:
    """What takes a step with a new network."""
    texts = torch.randn(IDS, 384)
    settings = Training.model_validate({"weighting": weighting})
    fields = tuple(CategoricalField(f"field_{place}", 20, 1) for place in range(FIELDS))
    shape = NetworkShape({"user_id": IDS, "item_id": IDS}, fields, NUMBERS, (1,) * len(TASKS))
    network = MultiTaskNetwork(Model.model_validate({"architecture": architecture}), shape, {"items": texts})
    balancer = make_balancer(TASKS, None, settings)
    optimizers = make_optimizers(network, balancer, settings)
    precision = mixed_precision(torch.device("cpu"), settings.precision)

    def step() -> None:
        with precision:
            read = network.read(rows)
            trunk = network.architecture.trunk(read)
            outputs = network.outputs_from(trunk, read)
        losses = task_losses(outputs, rows.labels, TASKS)
        for optimizer in optimizers:
            optimizer.zero_grad()
        balancer.backward(losses, learned(trunk))
        for optimizer in optimizers:
            optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12, help="of eight steps")
    parser.add_argument("--architecture", default="mmoe")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = random_rows()
    steps = {name: stepper(name, arguments.architecture, rows) for name in BALANCERS}
    seconds: dict[str, list[float]] = {name: [] for name in BALANCERS}
    for _ in range(STEPS_BETWEEN * (1 + arguments.rounds)):
        for name, step in steps.items():
            started = time.process_time()
            step()
            seconds[name].append(time.process_time() - started)
    took = {
        name: np.reshape(taken[STEPS_BETWEEN:], (-1, STEPS_BETWEEN)).mean(1)
        for name, taken in seconds.items()
    }
    print("| method | ms | ÷ static |\n|---|--:|--:|")
    for name, taken in took.items():
        print(f"| `{name}` | {np.median(taken) * 1e3:.1f} | {np.median(taken / took['static']):.2f} |")


if __name__ == "__main__":
    main()
