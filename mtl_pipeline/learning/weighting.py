"""How the losses of the tasks become one: each method a small module, so that they compare line by line."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_pipeline.spec import Task


class StaticWeighting(nn.Module):
    """The weights that the user declared."""

    declared: Tensor

    def __init__(self, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.register_buffer("declared", torch.tensor([task.weight for task in tasks]))

    def forward(self, losses: Tensor) -> Tensor:
        """float32 [tasks] → scalar."""
        return (self.weights() * losses).sum()

    def weights(self) -> Tensor:
        """The factor by which each task's loss currently counts: float32 [tasks]."""
        return self.declared


class UncertaintyWeighting(StaticWeighting):
    """Learned noise variances: sum of loss / (c · variance) + log(variance) / 2, with c = 2 for regressions and 1
    for everything that is a likelihood (Kendall, Gal and Cipolla, CVPR 2018, https://arxiv.org/abs/1705.07115).

    Declared weights multiply what is learned.
    """

    scale: Tensor

    def __init__(self, tasks: Sequence[Task]) -> None:
        super().__init__(tasks)
        self.log_variance = nn.Parameter(torch.zeros(len(tasks)))
        self.register_buffer(
            "scale", torch.tensor([0.5 if task.kind == "regression" else 1.0 for task in tasks])
        )

    def forward(self, losses: Tensor) -> Tensor:
        return (self.weights() * losses + self.declared * self.log_variance / 2).sum()

    def weights(self) -> Tensor:
        return self.declared * self.scale * torch.exp(-self.log_variance)


WEIGHTINGS: dict[str, type[StaticWeighting]] = {
    "static": StaticWeighting,
    "uncertainty": UncertaintyWeighting,
}
