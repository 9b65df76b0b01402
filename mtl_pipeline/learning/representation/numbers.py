"""Embeddings of numeric features: piecewise-linear encodings (Gorishniy, Rubachev and Babenko, NeurIPS 2022,
https://arxiv.org/abs/2203.05556), with which a network bends at the values that matter as trees split there."""

from __future__ import annotations

import torch
from torch import Tensor, nn

BINS = 32


class PiecewiseEmbedding(nn.Module):
    """Of each number, how much of each bin lies below it, projected for each feature alone."""

    edges: Tensor

    def __init__(self, numerics: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("edges", torch.zeros(numerics, BINS + 1))
        self.weight = nn.Parameter(torch.randn(numerics, BINS, dimension) * BINS**-0.5)
        self.bias = nn.Parameter(torch.zeros(numerics * dimension))

    def fit(self, numeric: Tensor) -> None:
        """Lay the bins through the training rows, float32 [rows, numerics]."""
        for edges, values in zip(self.edges, numeric.T, strict=True):
            edges.copy_(bin_edges(values))

    def forward(self, numeric: Tensor, of: Tensor | slice = slice(None)) -> Tensor:
        """float32 [rows, numerics] → [rows, numerics × dimension]. `of`: which of the numerics these are."""
        low, high = self.edges[of, :-1], self.edges[of, 1:]
        below = ((numeric.unsqueeze(-1) - low) / (high - low).clamp(min=1e-6)).clamp(0, 1) * (high > low)
        bias = self.bias.view(self.weight.shape[::2])[of].flatten()
        return torch.einsum("rnb,nbd->rnd", below, self.weight[of]).flatten(1) + bias


def bin_edges(values: Tensor) -> Tensor:
    """float32 [BINS + 1], rising: quantiles of the distinct values, each with the root of its number of rows, because
    quantiles of the rows are all 0 of a feature that is 0 in nearly all rows. Where values are few, each is an edge."""
    distinct, counts = values.unique(return_counts=True)
    if len(distinct) <= BINS + 1:
        return torch.cat([distinct, distinct[-1:].expand(BINS + 1 - len(distinct))])
    share = counts.double().sqrt().cumsum(0)
    wanted = torch.linspace(0, float(share[-1]), BINS + 1, dtype=share.dtype, device=share.device)
    return distinct[torch.searchsorted(share, wanted).clamp(max=len(distinct) - 1)]
