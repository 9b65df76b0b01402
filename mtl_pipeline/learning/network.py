"""The multi-task ranker: one shared representation of (user, item, context), one tower per task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from mtl_pipeline.learning.architectures import ARCHITECTURES
from mtl_pipeline.learning.blocks.cross_layers import CrossLayers
from mtl_pipeline.learning.blocks.layers import MLP
from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.learning.representation.factored import Factored
from mtl_pipeline.learning.representation.layout import layout_of
from mtl_pipeline.learning.representation.parts import Parts
from mtl_pipeline.learning.representation.representation import NetworkShape, Representation
from mtl_pipeline.spec import Model


class MultiTaskNetwork(nn.Module):
    """A representation of the inputs, the architecture that makes of it what each task reads, and a tower per task."""

    def __init__(self, model: Model, shape: NetworkShape, texts: Mapping[str, Tensor]) -> None:
        """`texts`: float32 [rows, dimension] by `users` and `items`, where they have text, numbered by `Rows.text`."""
        super().__init__()
        architecture = ARCHITECTURES[model.architecture]
        self.representation = Representation(model, shape, texts, architecture.own_ids)
        layout = layout_of(self.representation, model, shape)
        self.cross = (
            CrossLayers(layout, model.cross_layers, model.cross_rank) if model.cross_layers else nn.Identity()
        )
        self.architecture = architecture(layout, model)
        tower = self.architecture.tower(model)
        self.towers = nn.ModuleList(
            nn.Sequential(MLP(tower), nn.Linear(tower[-1], outputs)) for outputs in shape.outputs
        )

    @property
    def shared_parameters(self) -> list[nn.Parameter]:
        """Those that every task moves: all but the towers, and the embeddings, gates and layers of single tasks."""
        modules = (self.towers, self.representation.own, *self.architecture.task_modules())
        owned = {id(parameter) for module in modules for parameter in module.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in owned]

    def forward(self, rows: Rows) -> Tensor:
        """Encoded rows → float32 [rows, outputs of all tasks], from which each task's kind makes its predictions."""
        return self.outputs(self.representation(rows))

    def read(self, rows: Rows) -> Tensor:
        """What the architecture reads: [rows, width]."""
        return self.cross(self.representation(rows))

    def outputs(self, representation: Tensor | Parts | Factored) -> Tensor:
        """As `forward`, from the representation of the rows, [rows, width]."""
        read = self.cross(
            cast(Tensor, representation)
        )  # all three take part in linear layers as a tensor does
        return self.outputs_from(self.architecture.trunk(read), read)

    def outputs_from(self, trunk: Tensor, representation: Tensor) -> Tensor:
        """As `outputs`, from the architecture's trunk."""
        extracted = self.architecture.branches(trunk, representation)
        towers = [cast(nn.Sequential, tower) for tower in self.towers]
        hidden = [tower[0](part) for tower, part in zip(towers, extracted, strict=True)]
        device = next(self.parameters()).device.type
        with torch.autocast(device, enabled=False):  # log odds of low precision would come in steps
            return torch.cat([tower[1](part.float()) for tower, part in zip(towers, hidden, strict=True)], 1)
