"""Attention of the row's item to each item that its user chose before: after the deep interest network (Zhou et al.,
KDD 2018, https://doi.org/10.1145/3219819.3219823), with scaled dot products and softmax (Vaswani et al., NeurIPS 2017,
https://arxiv.org/abs/1706.03762), and with "none of them" to choose too."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtl_pipeline.learning.representation.lookup import look_up
from mtl_pipeline.learning.representation.sequences.base import SequenceEncoder, SequenceShape

FAR_BELOW = -1e4
"""The logit of what is not there. Minus infinity would have no gradient where nothing is."""


class TargetAttention(SequenceEncoder):
    """Gives the attended value; how the mean value agrees with the item; how well the whole and the best of the
    sequence go with it (log-mean-exp and maximum of the logits)."""

    def __init__(self, item_width: int, dimension: int, shape: SequenceShape) -> None:
        super().__init__(item_width, dimension, shape)
        self.item = nn.Sequential(nn.Linear(item_width, dimension), nn.LayerNorm(dimension))
        self.query = nn.Linear(dimension, dimension)
        self.key_value = nn.Linear(dimension, 2 * dimension)
        self.of_labels = nn.Parameter(torch.randn(2 * len(shape.labels), dimension) * dimension**-0.5)
        self.recency = nn.Parameter(torch.zeros(shape.last))
        self.none = nn.Parameter(torch.zeros(1))
        self.width = 3 * dimension + 2
        self.alone = {"item": slice(2 * dimension, 3 * dimension)}

    def forward(
        self, candidate: Tensor, items: Tensor, number: Tensor, present: Tensor, labels: Tensor
    ) -> Tensor:
        candidate, items = self.item(candidate), self.item(items)
        query = self.query(candidate) * candidate.shape[1] ** -0.5
        keys, values = look_up(number, self.key_value(items)).chunk(2, -1)
        logits = (keys * query.unsqueeze(1)).sum(-1) + self.recency
        logits = logits.masked_fill(~present, FAR_BELOW)
        attention = torch.cat([logits, self.none.expand(len(logits), 1)], 1).softmax(1)[:, :-1]
        count = present.sum(1, keepdim=True)
        weights = torch.stack([attention, present / count.clamp(min=1)], 1)
        attended, mean = (weights @ values + weights @ self.known_labels(labels) @ self.of_labels).unbind(1)
        fit = torch.stack([logits.logsumexp(1) - count[:, 0].clamp(min=1).log(), logits.amax(1)], 1)
        fit = torch.where(count > 0, fit, 0.0)
        return torch.cat([attended, mean * candidate, candidate, fit], 1)

    def look(self, candidates: Tensor) -> Tensor:
        candidates = self.item(candidates)
        return torch.cat([candidates, self.query(candidates) * candidates.shape[1] ** -0.5], 1)

    def remember(self, items: Tensor, number: Tensor, present: Tensor, labels: Tensor) -> Tensor:
        keys, values = look_up(number, self.key_value(self.item(items))).chunk(2, -1)
        values = values + self.known_labels(labels) @ self.of_labels
        return torch.cat([keys, values, present.unsqueeze(-1)], -1)

    def of_side(self, kept: Tensor) -> Tensor:
        return kept.chunk(2, -1)[0]

    def of_pairs(self, looked: Tensor, remembered: Tensor) -> Tensor:
        candidates, queries = looked.chunk(2, -1)
        keys, values, present = remembered.split([*2 * queries.shape[-1:], 1], -1)
        offset = self.recency.unsqueeze(-1) + (1 - present) * FAR_BELOW
        # Items lie in the last dimension, [users, last, items], so that sums over `last` take many items at once.
        logits = torch.baddbmm(offset, keys, queries.mT.contiguous().expand(len(keys), -1, -1))
        best = logits.amax(1, keepdim=True)
        shares = logits.sub_(best).exp_()
        total = shares.sum(1, keepdim=True)
        attended = shares.transpose(1, 2) @ values / (total + (self.none - best).exp()).transpose(1, 2)
        count = present.sum(1, keepdim=True)
        mean = (present * values).sum(1, keepdim=True) / count.clamp(min=1)
        fit = torch.cat([total.log() + best - count.clamp(min=1).log(), best], 1) * (count > 0)
        return torch.cat([attended, mean * candidates, fit.transpose(1, 2)], -1)
