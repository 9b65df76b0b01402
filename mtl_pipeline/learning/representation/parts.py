"""The representation of rows in two parts: what gradients flow into, and what is as the data has it, numbers and frozen
text vectors.

A linear layer of columns is the sum of the layers of two sets of them. That spares the gradient with respect to the
frozen ones, a third of the work of a first layer that reads whole text vectors. As with the sum in factored.py, an
architecture notices nothing: it hands such a representation to an nn.Linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mtl_pipeline.learning.representation.stand_in import StandIn

WORTH_A_PRODUCT = 64
"""Frozen columns: for fewer, a second product takes longer than the gradient that it spares."""


@dataclass(frozen=True)
class Parts(StandIn):
    """[rows, width]."""

    learned: Tensor
    """[rows, columns]: in the graph of embeddings and projections. float32; in mixed precision rounded here, once, and
    not by every layer that reads it."""
    frozen: Tensor
    """[rows, columns], in the precision of the text vectors."""
    layout: tuple[tuple[int, bool], ...]
    """How many columns there are of which part, True for what is learned, in the order of the width."""

    @classmethod
    def of(cls, inputs: Sequence[Tensor], learned: Sequence[bool]) -> Parts:
        """From [rows, width of an input] each, and which of them gradients flow into."""
        parts = list(zip(inputs, learned, strict=True))
        if sum(values.shape[1] for values, learns in parts if not learns) < WORTH_A_PRODUCT:
            parts = [(values, True) for values, _ in parts]
        none = inputs[0][:, :0].detach()
        frozen = [values for values, learns in parts if not learns]
        least = min((values.dtype for values in frozen), key=lambda kind: kind.itemsize, default=none.dtype)
        trained, device = (
            torch.cat([none, *(values for values, learns in parts if learns)], 1),
            none.device.type,
        )
        return cls(
            trained.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else trained,
            torch.cat([none.to(least), *(values.to(least) for values in frozen)], 1),
            tuple((values.shape[1], learns) for values, learns in parts),
        )

    def __len__(self) -> int:
        return len(self.learned)

    def linear(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """float32 [rows, outputs], in mixed precision bfloat16."""
        rounded = torch.is_autocast_enabled(weight.device.type)
        learned = self.learned if rounded else self.learned.to(weight.dtype)
        if not self.frozen.shape[1]:
            return functional.linear(learned, weight, bias)
        columns = weight.split([width for width, _ in self.layout], 1)
        of_learned, of_frozen = (
            torch.cat(
                [weight[:, :0]]
                + [some for some, (_, learns) in zip(columns, self.layout, strict=True) if learns is wanted],
                1,
            )
            for wanted in (True, False)
        )
        outputs = functional.linear(learned, of_learned, bias)
        return outputs.addmm_(self.frozen.to(outputs.dtype), of_frozen.T.to(outputs.dtype))

    def whole(self) -> Tensor:
        """float32 [rows, width]."""
        inputs = {
            learns: iter(part.split([width for width, of in self.layout if of is learns], 1))
            for learns, part in ((True, self.learned.float()), (False, self.frozen.float()))
        }
        return torch.cat([next(inputs[learns]) for _, learns in self.layout], 1)


def learned(trunk: Any) -> Tensor:
    """What gradients with respect to a trunk are taken of, whether it is a representation or not."""
    return trunk.learned if isinstance(trunk, Parts) else trunk
