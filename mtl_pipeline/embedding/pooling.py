"""From one vector a token to one vector a text."""

from __future__ import annotations

from collections.abc import Callable

import torch

Pooling = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(hidden [batch, tokens, dimension], mask [batch, tokens]) → [batch, dimension]"""


def mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the tokens that are not padding, special tokens included (Reimers & Gurevych 2019)."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def cls(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The first token: the summary that BERT-like models learn (Devlin et al. 2019)."""
    return hidden[:, 0]


POOLINGS: dict[str, Pooling] = {"mean": mean, "cls": cls}
