"""MMoE: multi-gate mixture of experts (Ma et al., KDD 2018, https://doi.org/10.1145/3219819.3220007)."""

from __future__ import annotations

from torch import Tensor, nn

from mtl_pipeline.learning.architectures.base import Mixture
from mtl_pipeline.learning.blocks.layers import gate, mix
from mtl_pipeline.learning.blocks.normalised_experts import make_experts
from mtl_pipeline.learning.representation.layout import Layout
from mtl_pipeline.spec import MMoESettings


class MMoE(Mixture):
    """All tasks read the same experts, each its own mixture of them, weighted by a softmax gate."""

    def __init__(self, layout: Layout, settings: MMoESettings) -> None:
        super().__init__()
        self.tasks = layout.tasks
        self.owners = [None] * settings.experts
        self.shared = make_experts(layout.width, settings, settings.experts)
        self.gates = nn.Linear(layout.width, self.tasks * settings.experts)

    def trunk(self, representation: Tensor) -> Tensor:
        return self.shared(representation)

    def branches(self, trunk: Tensor, representation: Tensor) -> list[Tensor]:
        return mix(trunk, self.gate_weights(representation))

    def expert_outputs(self, representation: Tensor) -> Tensor:
        return self.shared(representation)

    def gate_weights(self, representation: Tensor) -> Tensor:
        return gate(self.gates(representation).view(len(representation), self.tasks, -1))

    def task_modules(self) -> list[nn.Module]:
        return [self.gates]
