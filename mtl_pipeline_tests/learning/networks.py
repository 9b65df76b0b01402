"""Sizes and rows of a small network."""

from __future__ import annotations

import torch

from mtl_pipeline.learning.data.encoding import CategoricalField, Chosen, Rows

USERS, ITEMS, ROWS, CHOICES = 5, 7, 11, 9

OUTPUTS = (1, 1, 4)

FIELDS = (CategoricalField("gender", 2, 1), CategoricalField("genres", 4, 3))


def rows() -> Rows:
    generator = torch.Generator().manual_seed(1)

    def integers(high: int, *size: int) -> torch.Tensor:
        return torch.randint(high, size, generator=generator, dtype=torch.int32)

    return Rows(
        ids=integers(6, ROWS, 2),
        categorical=torch.cat([integers(3, ROWS, 1), integers(5, ROWS, 3)], 1),
        numeric=torch.randn(ROWS, 2, generator=generator),
        text=integers(5, ROWS, 2),
        labels=torch.zeros(ROWS, 3),
        sequence=torch.tensor([[0, 0], [0, 2], [4, CHOICES]]).repeat(4, 1)[:ROWS],
        chosen=Chosen(
            ids=torch.arange(3, dtype=torch.int32)[:, None],  # the first one is unknown
            text=torch.arange(3, dtype=torch.int32)[:, None] + 1,
            item=torch.arange(CHOICES) % 3,
            labels=torch.tensor([1.0, torch.nan, 5.0] * 3)[:, None],
        ),
    )
