"""Uncertainty weighting (Kendall, Gal and Cipolla, CVPR 2018, https://arxiv.org/abs/1705.07115)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_pipeline.kinds import KINDS
from mtl_pipeline.learning.balancing.base import Balancer
from mtl_pipeline.spec import Task


class UncertaintyWeighting(Balancer):
    """Learned noise variances: sum of loss / (c · variance) + log(variance) / 2, times the declared weights and shares;
    c = 2 for regressions and 1 for everything that is a likelihood."""

    scale: Tensor

    def remember(self, tasks: Sequence[Task]) -> None:
        self.log_variance = nn.Parameter(torch.zeros(len(tasks)))
        self.register_buffer("scale", torch.tensor([KINDS[task.kind].noise_scale for task in tasks]))

    def backward(self, losses: Tensor, shared: Tensor) -> None:
        (self.weights() * losses + self.declared * self.log_variance / 2).sum().backward()

    def weights(self) -> Tensor:
        return self.declared * self.scale * torch.exp(-self.log_variance)
