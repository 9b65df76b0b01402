"""AITM: adaptive information transfer (Xi et al., KDD 2021, https://arxiv.org/abs/2105.08489)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtl_pipeline.learning.architectures.base import Architecture
from mtl_pipeline.learning.blocks.layers import Experts
from mtl_pipeline.learning.representation.layout import Layout
from mtl_pipeline.spec import SharedBottomSettings


class AITM(Architecture):
    """An MLP per task, and what a task made of the inputs is handed to the next one in the chain: to the tasks that
    are given it, or else to the one declared after it.

    The paper also adds a loss where a later step is more probable than an earlier one (its calibrator). That presumes
    the probability of all steps up to this one; here a task predicts its probability given the step before, which may
    well be the larger one. So it is left out.
    """

    def __init__(self, layout: Layout, settings: SharedBottomSettings) -> None:
        super().__init__()
        self.sources = sources(layout.given)
        self.own = Experts(layout.width, settings.hidden, settings.dropout, layout.tasks)
        self.transfers = nn.ModuleDict(
            {
                str(task): Transfer(settings.hidden[-1])
                for task, source in self.sources.items()
                if source is not None
            }
        )

    def branches(self, trunk: Tensor, representation: Tensor) -> list[Tensor]:
        read = list(self.own(trunk))
        for task, source in self.sources.items():
            if source is not None:
                read[task] = self.transfers[str(task)](read[source], read[task])
        return read

    def task_modules(self) -> list[nn.Module]:
        return [self.own, self.transfers]


class Transfer(nn.Module):
    """The adaptive information transfer unit: attention of each of two vectors to itself, so that every row decides how
    much of what is handed over counts beside what the task found itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hand_over = nn.Linear(width, width)
        self.value_key_query = nn.Linear(width, 3 * width)

    def forward(self, handed: Tensor, found: Tensor) -> Tensor:
        """Both, and the result, float32 [rows, width]."""
        both = torch.stack([self.hand_over(handed), found])
        value, key, query = self.value_key_query(both).chunk(3, -1)
        fit = (key * query).sum(-1, keepdim=True) * found.shape[1] ** -0.5
        return (fit.softmax(0) * value).sum(0)


def sources(given: tuple[int | None, ...]) -> dict[int, int | None]:
    """Of each task the one it reads from, in an order in which that one comes first."""
    order: list[int] = []
    while len(order) < len(given):
        order.append(next(t for t, of in enumerate(given) if t not in order and (of is None or of in order)))
    before = [None, *order]
    return {task: before[place] if given[task] is None else given[task] for place, task in enumerate(order)}
