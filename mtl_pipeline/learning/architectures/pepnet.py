"""PEPNet: parameter and embedding personalised network (Chang et al., KDD 2023, https://arxiv.org/abs/2302.01115)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from mtl_pipeline.learning.architectures.base import Architecture
from mtl_pipeline.learning.blocks.layers import Experts
from mtl_pipeline.learning.representation.layout import Layout
from mtl_pipeline.learning.representation.whole import Whole
from mtl_pipeline.spec import SharedBottomSettings


class PEPNet(Architecture):
    """Gates scale numbers by 0 to 2, and what decides is a prior. One gate scales the inputs, by where and when a row
    was: by the features of interactions, of history and of sequences, which stand for the paper's domain (EPNet). The
    others scale each hidden layer of an MLP per task, by who meets what: by the ids and texts of user and item
    (PPNet). With ids alone, new users and items would all be scaled alike."""

    def __init__(self, layout: Layout, settings: SharedBottomSettings) -> None:
        super().__init__()
        sizes = [layout.width, *settings.hidden]
        self.whole = Whole(layout.width)
        self.inputs = Gate(layout.width, layout.context, layout.width, settings.hidden[-1])
        self.layers, self.gates = nn.ModuleList(), nn.ModuleList()
        for width_in, width_out in pairwise(sizes):
            self.layers.append(Experts(width_in, [width_out], settings.dropout, layout.tasks))
            self.gates.append(
                Gate(layout.width, layout.entities, layout.tasks * width_out, settings.hidden[-1])
            )

    def trunk(self, representation: Tensor) -> Tensor:
        representation = self.whole(representation)
        return representation * self.inputs(representation, representation)

    def branches(self, trunk: Tensor, representation: Tensor) -> list[Tensor]:
        prior, hidden = self.whole(representation), trunk
        for layer, gate in zip(self.layers, self.gates, strict=True):
            scales = gate(prior, trunk).view(len(trunk), layer.count, -1)
            hidden = layer(hidden) * scales.transpose(0, 1)
        return list(hidden)

    def task_modules(self) -> list[nn.Module]:
        return [self.layers, self.gates]


class Gate(nn.Module):
    """The gate NU: 2 · sigmoid(MLP of two layers). It reads all columns, and its gradient reaches the prior only."""

    prior: Tensor

    def __init__(self, width: int, prior: Tensor, outputs: int, hidden: int) -> None:
        super().__init__()
        self.register_buffer("prior", torch.isin(torch.arange(width), prior), persistent=False)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, outputs))

    def forward(self, prior: Tensor, rest: Tensor) -> Tensor:
        """Two representations, float32 [rows, width], of which the first one's columns of the prior are read and the
        second one's other columns → [rows, outputs], 0 to 2."""
        return 2 * self.mlp(torch.where(self.prior, prior, rest.detach())).sigmoid()
