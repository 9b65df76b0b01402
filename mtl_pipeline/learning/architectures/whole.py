"""The representation as one tensor, for architectures that do more with it than linear layers can."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Whole(nn.Module):
    """Of rows it is one already. Of users' pairs with items it is a sum (see factored.py), which takes part in linear
    layers only: the one whose weight is the identity adds it up."""

    identity: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("identity", torch.eye(width), persistent=False)

    def forward(self, representation: Tensor) -> Tensor:
        """→ float32 [rows, width]."""
        is_one = isinstance(representation, Tensor)
        return representation if is_one else functional.linear(representation, self.identity)
