"""STEM: shared and task-specific embeddings (Su et al., AAAI 2024, https://arxiv.org/abs/2308.13537)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtl_pipeline.learning.architectures.base import Mixture
from mtl_pipeline.learning.blocks.layers import gate, mix
from mtl_pipeline.learning.blocks.normalised_experts import make_experts
from mtl_pipeline.learning.blocks.zeros import keep_zero
from mtl_pipeline.learning.representation.layout import Layout
from mtl_pipeline.spec import TaskExpertsSettings


class STEM(Mixture):
    """Ids have an embedding that all tasks move and one for each task alone: two users may be alike in what they click
    and differ in what they buy. Shared experts read the former, a task's own experts and its gate the latter, and all
    of them the other inputs. A task mixes all experts, those of other tasks too, which it does not move."""

    own_ids = True
    mine: Tensor

    def __init__(self, layout: Layout, settings: TaskExpertsSettings) -> None:
        super().__init__()
        self.tasks = layout.tasks
        owners: list[int | None] = [task for task in range(self.tasks) for _ in range(settings.task_experts)]
        self.owners = [None] * settings.experts + owners
        self.shared = make_experts(layout.width, settings, settings.experts)
        self.own = make_experts(layout.width, settings, len(owners))
        self.gates = nn.Linear(layout.width, self.tasks * len(self.owners))
        columns = torch.arange(layout.width)
        of_one, of_all = torch.isin(columns, layout.own), torch.isin(columns, layout.ids)
        unread = torch.stack([of_all | (of_one & ~torch.isin(columns, own)) for own in layout.own])
        keep_zero(self.shared.first, of_one)
        for first in (self.own.first, self.gates):
            keep_zero(first, unread.repeat_interleave(len(first.weight) // self.tasks, 0))
        mine = [[owner in (None, task) for owner in self.owners] for task in range(self.tasks)]
        self.register_buffer("mine", torch.tensor(mine), persistent=False)

    def branches(self, trunk: Tensor, representation: Tensor) -> list[Tensor]:
        experts, weights = self.expert_outputs(representation), self.gate_weights(representation)
        moved = mix(experts, weights * self.mine)
        return [
            own + others
            for own, others in zip(moved, mix(experts.detach(), weights * ~self.mine), strict=True)
        ]

    def expert_outputs(self, representation: Tensor) -> Tensor:
        return torch.cat([self.shared(representation), self.own(representation)])

    def gate_weights(self, representation: Tensor) -> Tensor:
        return gate(self.gates(representation).view(len(representation), self.tasks, -1))

    def task_modules(self) -> list[nn.Module]:
        return [self.gates, self.own]
