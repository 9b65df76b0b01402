"""MMoE: multi-gate mixture of experts (Ma et al., KDD 2018, https://doi.org/10.1145/3219819.3220007)."""

from __future__ import annotations

from torch import Tensor, nn

from mtl_pipeline.learning.architectures.base import Mixture
from mtl_pipeline.learning.architectures.layers import Experts, gate, mix
from mtl_pipeline.spec import MMoESettings


class MMoE(Mixture):
    """All tasks read the same experts, each its own mixture of them, weighted by a softmax gate."""

    def __init__(self, width: int, tasks: int, settings: MMoESettings) -> None:
        super().__init__()
        self.tasks = tasks
        self.owners = [None] * settings.experts
        self.shared = Experts(width, settings.hidden, settings.dropout, settings.experts)
        self.gates = nn.Linear(width, tasks * settings.experts)

    def trunk(self, representation: Tensor) -> Tensor:
        return self.shared(representation)

    def branches(self, trunk: Tensor, representation: Tensor) -> list[Tensor]:
        return mix(trunk, self.gate_weights(representation))

    def gate_weights(self, representation: Tensor) -> Tensor:
        return gate(self.gates(representation).view(len(representation), self.tasks, -1))

    def task_modules(self) -> list[nn.Module]:
        return [self.gates]
