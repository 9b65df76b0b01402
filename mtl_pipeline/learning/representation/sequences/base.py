"""What every encoder of sequences offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.spec import PipelineSpec


@dataclass(frozen=True)
class SequenceShape:
    """Sizes that come from the declaration."""

    last: int
    """Items that a row looks back at, at most."""
    labels: tuple[str, ...]

    @classmethod
    def of(cls, spec: PipelineSpec) -> SequenceShape | None:
        """None where no sequences are declared."""
        sequence = spec.features.sequence
        return cls(sequence.last, tuple(sequence.labels)) if sequence else None


class SequenceEncoder(nn.Module, ABC):
    """From the item of a row, and the items that its user chose last, to inputs of the network."""

    width: int
    """Of what `forward` gives."""
    alone: dict[str, slice]
    """Which columns of that are of the `item` alone, or of the `user`: `of_side` gives them, `of_pairs` the others."""
    label_mean: Tensor
    label_scale: Tensor

    def __init__(self, item_width: int, dimension: int, shape: SequenceShape) -> None:
        """`item_width`: of what stands for an item; `dimension`: of the vectors that the encoder makes of it."""
        super().__init__()
        self.last = shape.last
        self.register_buffer("label_mean", torch.zeros(len(shape.labels)))
        self.register_buffer("label_scale", torch.ones(len(shape.labels)))

    @abstractmethod
    def forward(
        self, candidate: Tensor, items: Tensor, number: Tensor, present: Tensor, labels: Tensor
    ) -> Tensor:
        """`candidate`: float32 [rows, width of an item]; `items`: [distinct items, the same]; `number`: int64 [rows,
        last], which of them; `present`: bool [rows, last], the latest last; `labels`: float32 [rows, last, labels],
        NaN where not known → float32 [rows, width]. Training takes this way; recommendations take the one by
        `look`, `remember`, `of_side` and `of_pairs`, which gives the same."""

    @abstractmethod
    def look(self, candidates: Tensor) -> Tensor:
        """What `of_pairs` needs of every item: float32 [items, width of an item] → [items, …]."""

    @abstractmethod
    def remember(self, items: Tensor, number: Tensor, present: Tensor, labels: Tensor) -> Tensor:
        """What `of_pairs` needs of every user, from what `forward` takes: float32 [users, last, …]."""

    @abstractmethod
    def of_side(self, kept: Tensor) -> Tensor:
        """The columns of items alone, or of users, from what `look` or `remember` gave."""

    @abstractmethod
    def of_pairs(self, looked: Tensor, remembered: Tensor) -> Tensor:
        """As `forward`, of every user with every item, or with items of their own where `looked` is [users, items, …]:
        float32 [users, items, width less the columns of one side]."""

    def places(self, sequence: Tensor) -> tuple[Tensor, Tensor]:
        """Where in Chosen the items of rows lie, and which of these places are theirs: int64 and bool [rows, last]."""
        first, end = sequence[:, :1], sequence[:, 1:]
        places = end - self.last + torch.arange(self.last, device=sequence.device)
        present = places >= first
        return places * present, present

    def known_labels(self, labels: Tensor) -> Tensor:
        """Standardised, 0 where not known, and whether known: [rows, last, labels] → [rows, last, 2 × labels]."""
        known = ~labels.isnan()
        standardised = (labels - self.label_mean) / self.label_scale
        return torch.cat([standardised.nan_to_num(0.0), known.float()], -1)

    def fit(self, train: Rows) -> None:
        """Take the scale of the labels from the choices that training rows look back at."""
        assert train.chosen is not None
        first, end = (places.bincount(minlength=len(train.chosen.item) + 1) for places in train.sequence.T)
        seen = train.chosen.labels[(first - end).cumsum(0)[:-1] > 0]
        for column, labels in enumerate(seen.T):
            known = labels[~labels.isnan()]
            if len(known) > 1 and known.std() > 0:
                self.label_mean[column], self.label_scale[column] = known.mean(), known.std()
