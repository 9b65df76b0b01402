"""The optimisers of a network and its balancer."""

from __future__ import annotations

from typing import Any

import torch

from mtl_pipeline.learning.balancing import Balancer
from mtl_pipeline.learning.network import MultiTaskNetwork
from mtl_pipeline.learning.training.optimisation.row_adam import RowAdam
from mtl_pipeline.spec import Training


def make_optimizers(
    network: MultiTaskNetwork, balancer: Balancer, settings: Training
) -> list[torch.optim.Optimizer]:
    """AdamW for the network; RowAdam for the id tables, of which a batch touches few rows."""
    tables = network.representation.tables
    dense = [
        parameter for parameter in network.parameters() if not any(parameter is table for table in tables)
    ]
    groups: list[dict[str, Any]] = [
        {"params": dense, "weight_decay": settings.weight_decay},
        {"params": list(balancer.parameters()), "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
    return [adamw, RowAdam(tables, lr=settings.learning_rate)] if tables else [adamw]
