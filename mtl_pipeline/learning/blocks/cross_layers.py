"""Cross layers: DCN-v2 (Wang et al., WWW 2021, https://arxiv.org/abs/2008.13535), stacked below the architecture."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtl_pipeline.learning.blocks.zeros import keep_zero
from mtl_pipeline.learning.representation.layout import Layout
from mtl_pipeline.learning.representation.whole import Whole


class CrossLayers(nn.Module):
    """x ← x0 ⊙ (U V x + b) + x in each layer, with x0 the representation: each layer multiplies what the last one found
    with the inputs once more. U V is a matrix of low rank. Columns that single tasks have to themselves stay as they
    are, and no other column meets them."""

    def __init__(self, layout: Layout, layers: int, rank: int) -> None:
        super().__init__()
        self.whole = Whole(layout.width)
        self.down = nn.ModuleList(nn.Linear(layout.width, rank, bias=False) for _ in range(layers))
        self.up = nn.ModuleList(nn.Linear(rank, layout.width) for _ in range(layers))
        if layout.own.numel():
            own = torch.isin(torch.arange(layout.width), layout.own)
            for down, up in zip(self.down, self.up, strict=True):
                keep_zero(down, own)
                keep_zero(up, own.unsqueeze(1))
                keep_zero(up, own, "bias")

    def forward(self, representation: Tensor) -> Tensor:
        """float32 [rows, width] → the same."""
        crossed = inputs = self.whole(representation)
        for down, up in zip(self.down, self.up, strict=True):
            crossed = inputs * up(down(crossed)) + crossed
        return crossed
