"""The multilayer perceptron: linear layers with ReLU and dropout behind each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


class MLP(nn.Sequential):
    """float32 [rows, widths[0]] → float32 [rows, widths[-1]]."""

    def __init__(self, widths: Sequence[int], dropout: float = 0.0) -> None:
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise(widths):
            layers += [nn.Linear(width_in, width_out), nn.ReLU(), nn.Dropout(dropout)]
        super().__init__(*layers)
