"""Dynamic weight average (Liu, Johns and Davison, CVPR 2019, https://arxiv.org/abs/1803.10704): a task whose loss falls
more slowly than the others' gets a larger factor. Costs nothing; sees noise where rounds are short."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from mtl_pipeline.learning.balancing.factors.base import FactorBalancer, average_one
from mtl_pipeline.spec import Task


class DynamicWeightAverage(FactorBalancer):
    """Factors ∝ exp(pace / temperature), pace = mean training loss of the last round / that of the round before; an
    epoch has two rounds."""

    previous: Tensor

    def remember(self, tasks: Sequence[Task]) -> None:
        super().remember(tasks)
        self.register_buffer("previous", torch.zeros(len(tasks)))

    def choose(self, losses: Tensor, shared: Tensor) -> Tensor:
        return self.factors

    def after_round(self, losses: Tensor, frozen: Collection[int]) -> None:
        super().after_round(losses, frozen)
        pace = torch.where((self.previous > 0) & (losses > 0), losses / self.previous, 1.0)
        self.factors = average_one((pace / self.settings.temperature).softmax(0), self.learning)
        self.previous = losses
