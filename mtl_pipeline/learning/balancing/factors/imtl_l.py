"""IMTL-L, the loss half of impartial multi-task learning (Liu et al., ICLR 2021,
https://openreview.net/forum?id=IMPnRXEWpvr): learned factors under which all losses come to be 1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_pipeline.learning.balancing.factors.base import FactorBalancer
from mtl_pipeline.spec import Task


class ImpartialLosses(FactorBalancer):
    """Minimises the sum of exp(s) · loss - s, times the declared weights; its minimum by s is at exp(s) = 1 / loss. The
    logarithm keeps factors positive; s learns as the network does."""

    def remember(self, tasks: Sequence[Task]) -> None:
        super().remember(tasks)
        self.log_factors = nn.Parameter(torch.zeros(len(tasks)))

    def choose(self, losses: Tensor, shared: Tensor) -> Tensor:
        balanced, factors = self.balanced(losses), self.log_factors.detach().exp()
        self.log_factors.grad = torch.where(balanced, self.declared * (factors * losses.detach() - 1), 0.0)
        return torch.where(balanced, factors, 1.0)
