"""GradNorm (Chen, Badrinarayanan, Lee and Rabinovich, ICML 2018, https://arxiv.org/abs/1711.02257): learned factors
that pull the lengths of the tasks' gradients together, longer for tasks that lag behind.

Lengths are those at the trunk, not at the last shared weights, and of losses without declared weights, which so keep
their say: they multiply what has been balanced.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_pipeline.learning.balancing.factors.base import (
    PACE,
    NormBalancer,
    average_one,
    softmax_among,
    through_softmax,
)
from mtl_pipeline.spec import Task


class GradNorm(NormBalancer):
    """Minimises Σ |length · factor - target| by the factors, target = mean length · pace^asymmetry, pace = loss / first
    loss over the mean of that. The factors are a softmax, so that they stay positive and 1 on average."""

    first: Tensor

    def remember(self, tasks: Sequence[Task]) -> None:
        super().remember(tasks)
        self.logits = nn.Parameter(torch.zeros(len(tasks)))
        self.register_buffer("first", torch.zeros(len(tasks)))

    def choose(self, losses: Tensor, shared: Tensor) -> Tensor:
        balanced, logits = self.balanced(losses), PACE * self.logits.detach()
        factors = average_one(softmax_among(logits, self.learning), self.learning)
        self.first = torch.where(balanced & (self.first == 0), losses.detach(), self.first)
        norms = self.norms(losses, shared)
        if norms is not None:
            lengths = torch.where(balanced, factors * norms, 0.0)
            pace = average_one(losses.detach() / self.first, balanced)
            target = lengths.sum() / balanced.sum() * pace**self.settings.asymmetry
            too_long = torch.where(balanced, norms * (lengths - target).sign(), 0.0)
            self.logits.grad = through_softmax(softmax_among(logits, balanced), too_long)
        return factors
