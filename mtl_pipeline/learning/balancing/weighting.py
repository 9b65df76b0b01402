"""How the losses of the tasks become one: each method a small module, so that they compare line by line."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_pipeline.kinds import KINDS
from mtl_pipeline.spec import Task


def observed_shares(labels: Tensor) -> Tensor:
    """How much each task counts where every label counts alike: float32 [tasks], the share of rows on which it is
    observed, from labels [rows, tasks] that are NaN elsewhere.

    The mean loss of each task over its observed rows, times this share, adds up to the negative log-likelihood of all
    observed labels, divided by the rows: as if each label were one observation, as in the joint likelihood that
    uncertainty weighting is derived from. Without the share, a label that is observed in one row of fifty counts fifty
    times, and its noise moves what all tasks share.

    Labels of a task that is observed on fewer than about two rows of a batch count for less, since batches without any
    add nothing.
    """
    return (~labels.isnan()).float().mean(0)


class StaticWeighting(nn.Module):
    """The weights that the user declared, times how much each task counts (`shares`, float32 [tasks])."""

    declared: Tensor

    def __init__(self, tasks: Sequence[Task], shares: Tensor | None = None) -> None:
        super().__init__()
        declared = torch.tensor([task.weight for task in tasks])
        self.register_buffer("declared", declared if shares is None else declared * shares.cpu())

    def forward(self, losses: Tensor) -> Tensor:
        """float32 [tasks] → scalar."""
        return (self.weights() * losses).sum()

    def weights(self) -> Tensor:
        """The factor by which each task's loss currently counts: float32 [tasks]."""
        return self.declared


class UncertaintyWeighting(StaticWeighting):
    """Learned noise variances: sum of loss / (c · variance) + log(variance) / 2, with c = 2 for regressions and 1
    for everything that is a likelihood (Kendall, Gal and Cipolla, CVPR 2018, https://arxiv.org/abs/1705.07115).

    Declared weights and shares multiply what is learned.
    """

    scale: Tensor

    def __init__(self, tasks: Sequence[Task], shares: Tensor | None = None) -> None:
        super().__init__(tasks, shares)
        self.log_variance = nn.Parameter(torch.zeros(len(tasks)))
        self.register_buffer("scale", torch.tensor([KINDS[task.kind].noise_scale for task in tasks]))

    def forward(self, losses: Tensor) -> Tensor:
        return (self.weights() * losses + self.declared * self.log_variance / 2).sum()

    def weights(self) -> Tensor:
        return self.declared * self.scale * torch.exp(-self.log_variance)


WEIGHTINGS: dict[str, type[StaticWeighting]] = {
    "static": StaticWeighting,
    "uncertainty": UncertaintyWeighting,
}
