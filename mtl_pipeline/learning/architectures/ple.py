"""PLE: progressive layered extraction (Tang et al., RecSys 2020, https://doi.org/10.1145/3383313.3412236); with one
layer also known as customised gate control."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtl_pipeline.learning.architectures.base import Mixture
from mtl_pipeline.learning.blocks.layers import gate, mix
from mtl_pipeline.learning.blocks.normalised_experts import make_experts
from mtl_pipeline.learning.representation.layout import Layout
from mtl_pipeline.spec import PLESettings


class PLE(Mixture):
    """As MMoE, and each task also has experts of its own, which no other task reads. In a layer on top of another, the
    shared experts read a mixture of all experts below, and a task's own experts what the task reads there."""

    unread: Tensor

    def __init__(self, layout: Layout, settings: PLESettings, layers: int | None = None) -> None:
        super().__init__()
        layers = layers or settings.extraction_layers
        width, tasks, hidden, own = layout.width, layout.tasks, settings.hidden, settings.task_experts
        self.tasks = tasks
        self.owners = [None] * settings.experts + [task for task in range(tasks) for _ in range(own)]
        self.below = PLE(layout, settings, layers - 1) if layers > 1 else None
        if self.below:
            self.shared_gate = nn.Linear(hidden[-1] if layers > 2 else width, len(self.owners))
            width = hidden[-1]
        self.shared = make_experts(width, settings, settings.experts)
        self.own = make_experts(width, settings, own * tasks)
        self.gates = nn.Linear(width, tasks * len(self.owners))
        unread = [[owner not in (None, task) for owner in self.owners] for task in range(tasks)]
        self.register_buffer("unread", torch.tensor(unread), persistent=False)

    def branches(self, trunk: Tensor, representation: Tensor) -> list[Tensor]:
        return self.extract(*self.inputs(representation))[1]

    def expert_outputs(self, representation: Tensor) -> Tensor:
        return self.extract(*self.inputs(representation))[0]

    def gate_weights(self, representation: Tensor) -> Tensor:
        return self.weights(self.inputs(representation)[1])

    def inputs(self, representation: Tensor) -> tuple[Tensor, Tensor]:
        """What the shared experts of this layer read, float32 [rows, width], and each task: [tasks, rows, width], or in
        the lowest layer, where all read the same, [rows, width]."""
        if self.below is None:
            return representation, representation
        shared, own = self.below.inputs(representation)
        experts, mixtures = self.below.extract(shared, own)
        together = torch.einsum("re,erh->rh", self.shared_gate(shared).softmax(-1), experts)
        return together, torch.stack(mixtures)

    def extract(self, shared: Tensor, own: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The experts, float32 [experts, rows, hidden[-1]], and each task's mixture of them."""
        each = own.repeat_interleave(self.own.count // self.tasks, 0) if self.below else shared
        experts = torch.cat([self.shared(shared), self.own(each)])
        return experts, mix(experts, self.weights(own))

    def weights(self, own: Tensor) -> Tensor:
        """float32 [rows, tasks, experts], 0 for the experts of other tasks."""
        if self.below is None:
            logits = self.gates(own).view(-1, self.tasks, len(self.owners))
        else:
            weight = self.gates.weight.view(self.tasks, -1, own.shape[-1])
            logits = torch.einsum("trw,tew->rte", own, weight) + self.gates.bias.view(self.tasks, -1)
        return gate(logits.masked_fill(self.unread, -torch.inf))

    def task_modules(self) -> list[nn.Module]:
        """A task's own experts below the last layer are read by the shared experts above them, and so by all tasks."""
        return [self.gates, self.own, *([self.below.gates] if self.below else [])]
