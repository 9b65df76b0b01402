"""DB-MTL, dual balancing (Lin et al., 2023, https://arxiv.org/abs/2308.12029): logarithms of the losses, whose
gradients are made as long as the longest.

The paper averages gradients over steps before it takes their length. At the trunk, where each batch has rows of its
own, squared lengths are averaged instead. Declared weights multiply what has been balanced.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_pipeline.learning.balancing.factors.base import NormBalancer
from mtl_pipeline.spec import Task

MEMORY = 0.9
"""Of the moving average, from one look to the next."""


class DualBalancing(NormBalancer):
    """Factors longest / length / loss, of lengths of the gradients of log losses."""

    squares: Tensor

    def remember(self, tasks: Sequence[Task]) -> None:
        super().remember(tasks)
        self.register_buffer("squares", torch.zeros(len(tasks)))

    def choose(self, losses: Tensor, shared: Tensor) -> Tensor:
        balanced, norms = self.balanced(losses), self.norms(losses, shared)
        losses = losses.detach()
        if norms is not None:
            seen = (norms / losses) ** 2
            averaged = torch.where(self.squares > 0, seen.lerp(self.squares, MEMORY), seen)
            self.squares = torch.where(balanced, averaged, self.squares)
        lengths = self.squares.sqrt()
        longest = torch.where(self.learning, lengths, 0.0).max()
        evened = torch.where(lengths > 0, longest / lengths, 1.0)
        return torch.where(balanced, evened / losses, 1.0)
