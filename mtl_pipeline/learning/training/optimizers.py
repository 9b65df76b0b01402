"""The optimisers of a network and its balancer."""

from __future__ import annotations

import torch

from mtl_pipeline.learning.architectures.network import MultiTaskNetwork
from mtl_pipeline.learning.balancing import Balancer
from mtl_pipeline.spec import Training


def make_optimizers(
    network: MultiTaskNetwork, balancer: Balancer, settings: Training
) -> list[torch.optim.Optimizer]:
    """AdamW for the network; Adam with sparse gradients for the id tables, which touch few rows a batch."""
    tables = network.representation.tables
    dense = [
        parameter for parameter in network.parameters() if not any(parameter is table for table in tables)
    ]
    groups = [
        {"params": dense, "weight_decay": settings.weight_decay},
        {"params": list(balancer.parameters()), "weight_decay": 0.0},
    ]
    rate = settings.learning_rate
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW([group for group in groups if group["params"]], lr=rate, fused=True)
    ]
    return [*optimizers, torch.optim.SparseAdam(tables, lr=rate)] if tables else optimizers
