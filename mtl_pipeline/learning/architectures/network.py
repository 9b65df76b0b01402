"""The multi-task ranker: one shared representation of (user, item, context), one tower per task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from mtl_pipeline.learning.architectures import ARCHITECTURES
from mtl_pipeline.learning.architectures.factored import Factored
from mtl_pipeline.learning.architectures.layers import MLP
from mtl_pipeline.learning.architectures.parts import Parts
from mtl_pipeline.learning.architectures.representation import NetworkShape, Representation
from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.spec import Model


class MultiTaskNetwork(nn.Module):
    """A representation of the inputs, the architecture that makes of it what each task reads, and a tower per task."""

    def __init__(self, model: Model, shape: NetworkShape, texts: Mapping[str, Tensor]) -> None:
        """`texts`: float32 [rows, dimension] by `users` and `items`, where they have text, numbered by `Rows.text`."""
        super().__init__()
        self.representation = Representation(model, shape, texts)
        self.architecture = ARCHITECTURES[model.architecture](
            self.representation.width, len(shape.outputs), model
        )
        tower = [model.hidden[-1], *model.tower]
        self.towers = nn.ModuleList(
            nn.Sequential(MLP(tower), nn.Linear(tower[-1], outputs)) for outputs in shape.outputs
        )

    @property
    def shared_parameters(self) -> list[nn.Parameter]:
        """Those that every task moves: all but the towers and the gates and experts of single tasks."""
        modules = (self.towers, *self.architecture.task_modules())
        owned = {id(parameter) for module in modules for parameter in module.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in owned]

    def forward(self, rows: Rows) -> Tensor:
        """Encoded rows → float32 [rows, outputs of all tasks], from which each task's kind makes its predictions."""
        return self.outputs(self.representation(rows))

    def outputs(self, representation: Tensor | Parts | Factored) -> Tensor:
        """As `forward`, from the representation of the rows, [rows, width]."""
        stands_in = cast(Tensor, representation)  # they take part in linear layers as a tensor does
        return self.outputs_from(self.architecture.trunk(stands_in), stands_in)

    def outputs_from(self, trunk: Tensor, representation: Tensor) -> Tensor:
        """As `outputs`, from the architecture's trunk."""
        extracted = self.architecture.branches(trunk, representation)
        towers = [cast(nn.Sequential, tower) for tower in self.towers]
        hidden = [tower[0](part) for tower, part in zip(towers, extracted, strict=True)]
        with torch.autocast(
            hidden[0].device.type, enabled=False
        ):  # outputs of low precision would be rounded log odds
            return torch.cat([tower[1](part.float()) for tower, part in zip(towers, hidden, strict=True)], 1)
