"""What methods share that balance by a factor on each loss."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mtl_pipeline.learning.balancing.base import Balancer, trunk_gradients
from mtl_pipeline.spec import Task

PACE = 25.0
"""How much faster than the network logits of factors are learned: papers have rates of .025 for them. The optimiser's
steps are as long as its learning rate, so the logits are this many times a parameter."""
STEPS_BETWEEN = 8
"""Gradient norms are looked at so seldom that this costs next to nothing; they change slowly."""


class FactorBalancer(Balancer):
    """The declared weights, times factors that depend on the losses. All tasks' layers get the same factors."""

    factors: Tensor

    def remember(self, tasks: Sequence[Task]) -> None:
        self.register_buffer("factors", torch.ones(len(tasks)))

    @abstractmethod
    def choose(self, losses: Tensor, shared: Tensor) -> Tensor:
        """The factors for a batch, float32 [tasks]; 1 where a task is not `balanced`. Parameters get their gradients
        here."""

    def backward(self, losses: Tensor, shared: Tensor) -> None:
        self.factors = self.choose(losses, shared).detach()
        (self.weights() * losses).sum().backward()

    def weights(self) -> Tensor:
        return self.declared * self.factors


class NormBalancer(FactorBalancer):
    """Looks at the length of each task's gradient at the trunk, every few steps."""

    steps = 0

    def norms(self, losses: Tensor, shared: Tensor) -> Tensor | None:
        """Float32 [tasks] at the first step and every few thereafter, None in between."""
        self.steps += 1
        if self.steps % STEPS_BETWEEN != 1:
            return None
        return trunk_gradients(losses, shared).norm(dim=1)

    def get_extra_state(self) -> int:
        return self.steps

    def set_extra_state(self, state: Any) -> None:
        self.steps = state


def average_one(scores: Tensor, among: Tensor) -> Tensor:
    """Positive scores [tasks], scaled to a mean of 1 `among` some tasks; 1 for all others, whatever their score."""
    return torch.where(among, scores * (among.sum() / torch.where(among, scores, 0.0).sum()), 1.0)


def softmax_among(logits: Tensor, among: Tensor) -> Tensor:
    """The softmax over some tasks, 0 for all others: float32 [tasks]."""
    return logits.masked_fill(~among, -torch.inf).softmax(0).nan_to_num(0.0)  # NaN: among none


def through_softmax(softmax: Tensor, gradient: Tensor) -> Tensor:
    """From the gradient by a softmax to that by its logits: float32 [tasks]."""
    return softmax * (gradient - (softmax * gradient).sum())
