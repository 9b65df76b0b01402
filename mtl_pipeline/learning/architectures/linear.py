"""The linear model: of each task, a weight for every input, as in McMahan et al., KDD 2013,
https://doi.org/10.1145/2487575.2488200."""

from __future__ import annotations

from torch import Tensor

from mtl_pipeline.learning.architectures.base import Architecture
from mtl_pipeline.learning.representation.layout import Layout
from mtl_pipeline.spec import LinearSettings, Model


class Linear(Architecture):
    """Nothing lies between the representation and what a task's tower gives, which is w · representation + b. Inputs
    meet only where the representation multiplies them: products of user and item, sequences, cross layers."""

    def __init__(self, layout: Layout, settings: LinearSettings) -> None:
        super().__init__()
        self.tasks, self.width = layout.tasks, layout.width

    def branches(self, trunk: Tensor, representation: Tensor) -> list[Tensor]:
        return [trunk] * self.tasks

    def tower(self, settings: Model) -> list[int]:
        return [self.width]
