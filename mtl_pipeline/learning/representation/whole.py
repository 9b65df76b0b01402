"""The representation as one tensor, for architectures that do more with it than linear layers can."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtl_pipeline.learning.representation.parts import Parts


class Whole(nn.Module):
    """Of rows it is put together from its parts. Of users' pairs with items it is a sum (see factored.py), which takes
    part in linear layers only: the one whose weight is the identity adds it up."""

    identity: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("identity", torch.eye(width), persistent=False)

    def forward(self, representation: Any) -> Tensor:
        """→ float32 [rows, width]."""
        if isinstance(representation, Parts):
            return representation.whole()
        is_one = isinstance(representation, Tensor)
        return representation if is_one else functional.linear(representation, self.identity)
