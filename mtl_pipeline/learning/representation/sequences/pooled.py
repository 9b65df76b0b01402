"""Encoders that make one vector of what a user chose, whatever the row's item: cheap for recommendations."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from mtl_pipeline.learning.representation.lookup import look_up
from mtl_pipeline.learning.representation.sequences.base import SequenceEncoder, SequenceShape


class Pooled(SequenceEncoder):
    """Gives the user's vector, the item's, and how they agree, number by number."""

    def __init__(self, item_width: int, dimension: int, shape: SequenceShape) -> None:
        super().__init__(item_width, dimension, shape)
        self.item = nn.Sequential(nn.Linear(item_width, dimension), nn.LayerNorm(dimension))
        self.of_labels = nn.Parameter(torch.randn(2 * len(shape.labels), dimension) * dimension**-0.5)
        self.width = 3 * dimension
        self.alone = {"user": slice(0, dimension), "item": slice(2 * dimension, 3 * dimension)}

    @abstractmethod
    def pool(self, chosen: Tensor, present: Tensor) -> Tensor:
        """float32 [rows, last, dimension] and bool [rows, last], the latest last → float32 [rows, dimension]."""

    def forward(
        self, candidate: Tensor, items: Tensor, number: Tensor, present: Tensor, labels: Tensor
    ) -> Tensor:
        user, item = self.remember(items, number, present, labels), self.look(candidate)
        return torch.cat([user, user * item, item], 1)

    def look(self, candidates: Tensor) -> Tensor:
        return self.item(candidates)

    def remember(self, items: Tensor, number: Tensor, present: Tensor, labels: Tensor) -> Tensor:
        chosen = look_up(number, self.item(items)) + self.known_labels(labels) @ self.of_labels
        return self.pool(chosen, present) * present.any(1, keepdim=True)

    def of_side(self, kept: Tensor) -> Tensor:
        return kept

    def of_pairs(self, looked: Tensor, remembered: Tensor) -> Tensor:
        return remembered.unsqueeze(1) * looked
