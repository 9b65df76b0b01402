"""What every balancing method offers, and how much a task counts before any method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_pipeline.spec import Task


class Balancer(nn.Module, ABC):
    """Balances the tasks: the losses of a batch go in, and gradients come out. Its parameters, where it has any, are
    learned with those of the network."""

    declared: Tensor

    def __init__(self, tasks: Sequence[Task], shares: Tensor | None = None) -> None:
        """`shares`: float32 [tasks], by which the declared weights are multiplied, such as `observed_shares`."""
        super().__init__()
        declared = torch.tensor([task.weight for task in tasks])
        self.register_buffer("declared", declared if shares is None else declared * shares.cpu())

    @abstractmethod
    def backward(self, losses: Tensor, shared: Tensor) -> None:
        """Add to the gradient of every parameter that the losses depend on.

        losses: float32 [tasks], the mean of each task over its observed rows. That of a task that is absent from the
        batch is 0, and moves nothing.
        shared: float32 [rows, width], the representation that all tasks read, within the graph of the losses. Methods
        that compare the gradients of tasks can do so here, far cheaper than at the parameters below.
        """

    def weights(self) -> Tensor:
        """The factor by which each task's loss currently counts: float32 [tasks]."""
        return self.declared


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
