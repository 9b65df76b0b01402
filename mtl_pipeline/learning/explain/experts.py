"""How much each task listens to each expert of a mixture, and which experts have collapsed: in the first network for
all tasks, of the tasks that it predicts."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import torch
from torch import Tensor

from mtl_pipeline.learning.architectures.base import Mixture
from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.learning.explain.probing import Probe
from mtl_pipeline.learning.network import MultiTaskNetwork
from mtl_pipeline.learning.ranker.members import ROWS_AT_ONCE, Member

FEW = 0.01
"""Share of rows on which a unit is not zero, and of the typical standard deviation, below which it is dead."""
EXPERTS_SCHEMA = {
    "task": pl.String,
    "share": pl.Float64,
    "expert": pl.Int64,
    "owner": pl.String,
    "weight": pl.Float64,
    "standard_deviation": pl.Float64,
    "dead": pl.Float64,
    "rows": pl.Int64,
}


def expert_use(probe: Probe) -> pl.DataFrame:
    """For each task and expert (from 1) the mean gate weight over the task's rows of the probe, and its standard
    deviation from row to row; the weights of a task add up to 1. `dead` is the share of the expert's units that say
    nothing on these rows. `owner` is the only task that moves an expert, null where all do; `share`, below 1 where
    networks for this task alone predict with it, is that of the networks for all tasks. Empty where the network has no
    experts."""
    joint, network = probe.ranker.members[0], probe.ranker.network
    tasks = [task.name for task in probe.ranker.tasks]
    mixture = network.architecture
    frames = [pl.DataFrame(schema=EXPERTS_SCHEMA)]
    for sample in probe.samples:
        if not isinstance(mixture, Mixture) or len(sample.rows) == 0:
            continue
        owners = [None if owner is None else tasks[owner] for owner in mixture.owners]
        weights, dead = probed(network, mixture, sample.rows)
        for task in set(sample.tasks).intersection(joint.predicts):
            of_task = weights[:, tasks.index(task)]
            columns = {
                "task": task,
                "share": share_of_joint(probe.ranker.members, task),
                "expert": range(1, len(owners) + 1),
                "owner": owners,
                "weight": of_task.mean(0).numpy(),
                "standard_deviation": of_task.std(0, correction=0).numpy(),
                "dead": dead.numpy(),
                "rows": len(of_task),
            }
            frames.append(pl.DataFrame(columns, schema=EXPERTS_SCHEMA))
    return pl.concat(frames).sort(pl.col("task").cast(pl.Enum(tasks)), "expert")


def share_of_joint(members: Sequence[Member], task: str) -> float:
    """Of the networks that predict the task, the share of those that were trained for all tasks."""
    gives = [member.gives for member in members if task in member.predicts]
    return gives.count(members[0].gives) / len(gives)


def probed(network: MultiTaskNetwork, mixture: Mixture, rows: Rows) -> tuple[Tensor, Tensor]:
    """The gate weights, float64 [rows, tasks, experts], and the share of dead units, float64 [experts]."""
    network.eval()
    device = next(network.parameters()).device
    with torch.inference_mode():
        parts = [network.read(part.to(device)) for part in rows.batches(ROWS_AT_ONCE)]
        weights = torch.cat([mixture.gate_weights(part).cpu() for part in parts]).double()
        return weights, dead_units([mixture.expert_outputs(part).cpu() for part in parts])


def dead_units(outputs: Sequence[Tensor]) -> Tensor:
    """From parts of what experts give, float32 [experts, rows, units], the share of each one's units that are zero on
    all but a few rows, or whose value hardly differs from row to row beside that of other units: float64 [experts].
    Both are collapse as HoME (Wang et al. 2024, https://arxiv.org/abs/2408.05430) found it in mixtures with ReLU."""
    together = torch.cat([*outputs], 1)
    spread = together.std(1, correction=0)
    silent = (together != 0).float().mean(1) < FEW
    return (silent | (spread <= FEW * spread.square().mean().sqrt())).double().mean(1)
