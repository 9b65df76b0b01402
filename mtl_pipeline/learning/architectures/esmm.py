"""ESMM: the entire space multi-task model (Ma et al., SIGIR 2018, https://arxiv.org/abs/1804.07931)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_pipeline.kinds import KINDS
from mtl_pipeline.learning.architectures.base import Architecture
from mtl_pipeline.learning.blocks.layers import Experts
from mtl_pipeline.learning.representation.layout import Layout
from mtl_pipeline.spec import SharedBottomSettings, Task


class ESMM(Architecture):
    """An MLP per task. A binary task that is given another learns from all rows on which that one is observed: not its
    probability p given that the other happens, from rows where it did, but that of both, p · p(other), which did not
    happen either where the other did not. So p is learned for the rows it will be asked about. Its tower still gives
    p, which is what is predicted."""

    def __init__(self, layout: Layout, settings: SharedBottomSettings) -> None:
        super().__init__()
        self.own = Experts(layout.width, settings.hidden, settings.dropout, layout.tasks)

    def branches(self, trunk: Tensor, representation: Tensor) -> list[Tensor]:
        return list(self.own(trunk))

    def task_modules(self) -> list[torch.nn.Module]:
        return [self.own]

    def training_labels(self, labels: Tensor, tasks: Sequence[Task]) -> Tensor:
        """The product along the chain: 0 where an earlier label is 0, whether or not later ones are observed."""
        columns = dict(enumerate(labels.unbind(1)))
        for task, given in in_order(tasks):
            columns[task] = torch.where(columns[given] == 1, columns[task], columns[given])
        return torch.stack([columns[task] for task in range(len(tasks))], 1)

    def training_outputs(self, outputs: Tensor, tasks: Sequence[Task]) -> Tensor:
        """log odds of the product along the chain."""
        parts = list(outputs.split([task.outputs for task in tasks], 1))
        for task, given in in_order(tasks):
            parts[task] = log_odds_of_both(parts[given], parts[task])
        return torch.cat(parts, 1)


def in_order(tasks: Sequence[Task]) -> list[tuple[int, int]]:
    """The places of binary tasks and of the tasks that they are given, the beginnings of chains first."""
    places = {task.name: place for place, task in enumerate(tasks)}

    def depth(task: Task) -> int:
        return 1 + depth(tasks[places[task.given]]) if task.given in places else 0

    chained = [task for task in tasks if task.given in places and KINDS[task.kind].is_event]
    return [(places[task.name], places[str(task.given)]) for task in sorted(chained, key=depth)]


def log_odds_of_both(one: Tensor, other: Tensor) -> Tensor:
    """The log odds of p · q from those of p and of q. 1 / (p · q) − 1 is a sum of three exponentials, so that nothing
    is rounded away where p · q is near 0 or 1."""
    return -torch.logsumexp(-torch.stack([one, other, one + other]), 0)
