"""Weights that stay zero: how a layer that reads all columns leaves some of them alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def keep_zero(layer: nn.Module, where: Tensor, name: str = "weight") -> None:
    """Weights of the parameter called `name` become zero and get no gradient, so that no optimiser moves them. `where`:
    bool, of a shape that broadcasts to that of the parameter.

    One product for all columns is faster than one for each selection of them, and it works where a representation is a
    sum (see factored.py)."""
    parameter = layer.get_parameter(name)
    with torch.no_grad():
        parameter.masked_fill_(where, 0.0)

    def hook(gradient: Tensor) -> Tensor:
        nonlocal where
        where = where.to(gradient.device)
        return gradient.masked_fill(where, 0.0)

    parameter.register_hook(hook)
