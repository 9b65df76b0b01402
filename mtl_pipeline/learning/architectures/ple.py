"""PLE: progressive layered extraction with one extraction layer, also known as customised gate control (Tang et al.,
RecSys 2020, https://doi.org/10.1145/3383313.3412236)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtl_pipeline.learning.architectures.base import Architecture
from mtl_pipeline.learning.architectures.experts import Experts, mix
from mtl_pipeline.spec import PLESettings


class PLE(Architecture):
    """As MMoE, and each task also has experts of its own, which no other task reads."""

    unread: Tensor

    def __init__(self, width: int, tasks: int, settings: PLESettings) -> None:
        super().__init__()
        hidden, dropout, own = settings.hidden, settings.dropout, settings.task_experts
        self.tasks = tasks
        self.owners = [None] * settings.experts + [task for task in range(tasks) for _ in range(own)]
        self.shared = Experts(width, hidden, dropout, settings.experts)
        self.own = Experts(width, hidden, dropout, own * tasks)
        self.gates = nn.Linear(width, tasks * len(self.owners))
        unread = [[owner not in (None, task) for owner in self.owners] for task in range(tasks)]
        self.register_buffer("unread", torch.tensor(unread), persistent=False)

    def forward(self, representation: Tensor) -> list[Tensor]:
        experts = torch.cat([self.shared(representation), self.own(representation)])
        return mix(experts, self.gate_weights(representation))

    def gate_weights(self, representation: Tensor) -> Tensor:
        logits = self.gates(representation).view(len(representation), self.tasks, -1)
        return logits.masked_fill(self.unread, -torch.inf).softmax(-1)

    def task_modules(self) -> list[nn.Module]:
        return [self.gates, self.own]
