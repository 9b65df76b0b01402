"""A layer of causal self-attention over what the user chose, read off at the latest choice: SASRec (Kang and McAuley,
ICDM 2018, https://arxiv.org/abs/1808.09781)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtl_pipeline.learning.representation.sequences.base import SequenceShape
from mtl_pipeline.learning.representation.sequences.pooled import Pooled

HEADS = 2


class Transformer(Pooled):
    """Reads the order too. Cost grows with the square of the sequence's length."""

    causal: Tensor

    def __init__(self, item_width: int, dimension: int, shape: SequenceShape) -> None:
        super().__init__(item_width, dimension, shape)
        self.recency = nn.Parameter(torch.randn(shape.last, dimension) * 0.02)
        self.layer = nn.TransformerEncoderLayer(
            dimension, HEADS, 2 * dimension, dropout=0.0, batch_first=True, norm_first=True
        )
        self.register_buffer("causal", torch.ones(shape.last, shape.last).triu(1).bool(), persistent=False)

    def pool(self, chosen: Tensor, present: Tensor) -> Tensor:
        # A place that may look at nothing would be NaN, so every place may look at itself, whether it is there or not.
        itself = torch.eye(self.last, dtype=torch.bool, device=present.device)
        hidden = (self.causal | ~present.unsqueeze(1)) & ~itself
        return self.layer(chosen + self.recency, src_mask=hidden.repeat_interleave(HEADS, 0))[:, -1]
