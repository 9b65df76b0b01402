"""How much each task listens to each expert of a mixture: in the first network for all tasks, of the tasks that it
predicts."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import torch

from mtl_pipeline.learning.architectures.base import Mixture
from mtl_pipeline.learning.architectures.network import MultiTaskNetwork
from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.learning.explain.probing import Probe
from mtl_pipeline.learning.training.members import ROWS_AT_ONCE, Member

EXPERTS_SCHEMA = {
    "task": pl.String,
    "share": pl.Float64,
    "expert": pl.Int64,
    "owner": pl.String,
    "weight": pl.Float64,
    "standard_deviation": pl.Float64,
    "rows": pl.Int64,
}


def expert_use(probe: Probe) -> pl.DataFrame:
    """For each task and expert (from 1) the mean gate weight over the task's rows of the probe, and its standard
    deviation from row to row; the weights of a task add up to 1. `owner` is the only task that reads an expert, null
    where all do; `share`, below 1 where networks for this task alone predict with it, is that of the networks for all
    tasks. Empty where the network has no experts."""
    joint, network = probe.ranker.members[0], probe.ranker.network
    tasks = [task.name for task in probe.ranker.tasks]
    mixture = network.architecture
    frames = [pl.DataFrame(schema=EXPERTS_SCHEMA)]
    for sample in probe.samples:
        if not isinstance(mixture, Mixture) or len(sample.rows) == 0:
            continue
        owners = [None if owner is None else tasks[owner] for owner in mixture.owners]
        weights = gate_weights(network, mixture, sample.rows).double()
        for task in set(sample.tasks).intersection(joint.predicts):
            of_task = weights[:, tasks.index(task)]
            columns = {
                "task": task,
                "share": share_of_joint(probe.ranker.members, task),
                "expert": range(1, len(owners) + 1),
                "owner": owners,
                "weight": of_task.mean(0).numpy(),
                "standard_deviation": of_task.std(0, correction=0).numpy(),
                "rows": len(of_task),
            }
            frames.append(pl.DataFrame(columns, schema=EXPERTS_SCHEMA))
    return pl.concat(frames).sort(pl.col("task").cast(pl.Enum(tasks)), "expert")


def share_of_joint(members: Sequence[Member], task: str) -> float:
    """Of the networks that predict the task, the share of those that were trained for all tasks."""
    gives = [member.gives for member in members if task in member.predicts]
    return gives.count(members[0].gives) / len(gives)


def gate_weights(network: MultiTaskNetwork, mixture: Mixture, rows: Rows) -> torch.Tensor:
    """float32 [rows, tasks, experts]."""
    network.eval()
    device = next(network.parameters()).device
    with torch.inference_mode():
        representations = (network.representation(part.to(device)) for part in rows.batches(ROWS_AT_ONCE))
        return torch.cat([mixture.gate_weights(part).cpu() for part in representations])
