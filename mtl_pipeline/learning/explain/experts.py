"""How much each task listens to each expert of a mixture."""

from __future__ import annotations

import polars as pl
import torch

from mtl_pipeline.learning.architectures.base import Mixture
from mtl_pipeline.learning.architectures.network import MultiTaskNetwork
from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.learning.explain.probing import Probe
from mtl_pipeline.learning.training.ranker import ROWS_AT_ONCE

EXPERTS_SCHEMA = {
    "task": pl.String,
    "expert": pl.Int64,
    "owner": pl.String,
    "weight": pl.Float64,
    "standard_deviation": pl.Float64,
    "rows": pl.Int64,
}


def expert_use(probe: Probe) -> pl.DataFrame:
    """Of each task and expert (from 1) the mean gate weight over the task's rows of the probe, and its standard
    deviation from row to row; the weights of a task add up to 1. `owner` names the task that alone reads an expert.
    Empty where the network has no experts."""
    network = probe.ranker.network
    tasks = [task.name for task in probe.ranker.tasks]
    mixture = network.architecture
    if not isinstance(mixture, Mixture):
        return pl.DataFrame(schema=EXPERTS_SCHEMA)
    owners = [None if owner is None else tasks[owner] for owner in mixture.owners]
    found = []
    for sample in probe.samples:
        if len(sample.rows) == 0:
            continue
        weights = gate_weights(network, mixture, sample.rows).double()
        for task in sample.tasks:
            of_task = weights[:, tasks.index(task)]
            means, standard_deviations = of_task.mean(0).tolist(), of_task.std(0, correction=0).tolist()
            found += [
                (task, expert, owner, mean, standard_deviation, len(of_task))
                for expert, (owner, mean, standard_deviation) in enumerate(
                    zip(owners, means, standard_deviations, strict=True), start=1
                )
            ]
    frame = pl.DataFrame(found, schema=EXPERTS_SCHEMA, orient="row")
    return frame.sort(pl.col("task").cast(pl.Enum(tasks)), "expert")


def gate_weights(network: MultiTaskNetwork, mixture: Mixture, rows: Rows) -> torch.Tensor:
    """float32 [rows, tasks, experts]."""
    network.eval()
    device = next(network.parameters()).device
    with torch.inference_mode():
        representations = (network.representation(part.to(device)) for part in rows.batches(ROWS_AT_ONCE))
        return torch.cat([mixture.gate_weights(part).cpu() for part in representations])
