"""Hard parameter sharing (Caruana, Machine Learning 28, 1997, https://doi.org/10.1023/A:1007379606734)."""

from __future__ import annotations

from torch import Tensor

from mtl_pipeline.learning.architectures.base import Architecture
from mtl_pipeline.learning.blocks.layers import MLP
from mtl_pipeline.learning.representation.layout import Layout
from mtl_pipeline.spec import SharedBottomSettings


class SharedBottom(Architecture):
    """One MLP whose output every task reads."""

    def __init__(self, layout: Layout, settings: SharedBottomSettings) -> None:
        super().__init__()
        self.tasks = layout.tasks
        self.bottom = MLP([layout.width, *settings.hidden], settings.dropout)

    def trunk(self, representation: Tensor) -> Tensor:
        return self.bottom(representation)

    def branches(self, trunk: Tensor, representation: Tensor) -> list[Tensor]:
        return [trunk] * self.tasks
