"""FAMO, fast adaptive multitask optimisation (Liu, Feng, Stone and Liu, NeurIPS 2023,
https://arxiv.org/abs/2306.03792): all losses shall fall at the same relative pace, without a look at gradients.

The paper computes the losses a second time after each step, to see what it gave. Here the next batch shows that. Its
noise, one batch being harder than another, mostly cancels: what is added at one step is taken away at the next.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_pipeline.learning.balancing.factors.base import (
    PACE,
    FactorBalancer,
    average_one,
    softmax_among,
    through_softmax,
)
from mtl_pipeline.spec import Task

DECAY = 1e-3
"""γ in the paper: of the logits."""


class FastAdaptive(FactorBalancer):
    """Factors ∝ softmax(logits) / loss, which descend on the logarithms of the losses. The logits of tasks whose
    logarithm fell more than the others' are lowered."""

    previous: Tensor

    def remember(self, tasks: Sequence[Task]) -> None:
        super().remember(tasks)
        self.logits = nn.Parameter(torch.zeros(len(tasks)))
        self.register_buffer("previous", torch.zeros(len(tasks)))

    def choose(self, losses: Tensor, shared: Tensor) -> Tensor:
        balanced, losses, logits = self.balanced(losses), losses.detach(), PACE * self.logits.detach()
        known = balanced & (self.previous > 0)
        gained = torch.where(known, (self.previous / losses).log(), 0.0)
        self.logits.grad = through_softmax(softmax_among(logits, known), gained) + DECAY * logits
        self.previous = torch.where(balanced, losses, self.previous)
        return average_one(softmax_among(logits, balanced) / losses, balanced)
