"""What every balancing method offers, and how much a task counts before any method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from mtl_pipeline.spec import Task, WeightingSettings

DEFAULTS = WeightingSettings()


class Balancer(nn.Module, ABC):
    """Balances the tasks: losses of a batch in, gradients out. Its parameters, if any, are learned too."""

    declared: Tensor
    learning: Tensor

    def __init__(
        self, tasks: Sequence[Task], shares: Tensor | None = None, settings: WeightingSettings = DEFAULTS
    ) -> None:
        """`shares`: float32 [tasks], by which the declared weights are multiplied, such as `observed_shares`."""
        super().__init__()
        self.settings = settings
        declared = torch.tensor([task.weight for task in tasks])
        self.register_buffer("declared", declared if shares is None else declared * shares.cpu())
        self.register_buffer("learning", torch.ones(len(tasks), dtype=torch.bool))
        self.remember(tasks)

    def remember(self, tasks: Sequence[Task]) -> None:
        """Make the buffers and parameters of the method. Checkpoints keep them."""

    @abstractmethod
    def backward(self, losses: Tensor, shared: Tensor) -> None:
        """Add to the gradient of every parameter that the losses depend on.

        losses: float32 [tasks], the mean of each task over its observed rows; 0, without a gradient, for a task that is
        absent from the batch.
        shared: float32, the architecture's trunk, which all tasks read, in the graph of the losses. Comparing the
        gradients of tasks here is far cheaper than at the parameters below.
        """

    def weights(self) -> Tensor:
        """The factor by which each task's loss currently counts: float32 [tasks]."""
        return self.declared

    def after_round(self, losses: Tensor, frozen: Collection[int]) -> None:
        """After each validation round. `losses`: float32 [tasks], means over its batches; `frozen`: places of the tasks
        that only keep what they have (see callbacks/task_early_stopping), from now on."""
        self.learning[list(frozen)] = False

    def balanced(self, losses: Tensor) -> Tensor:
        """The tasks of a batch that have to be balanced: bool [tasks]. Others count as declared: those absent, which
        have no gradient, and those frozen. Their gradient is to vanish, and no method may lengthen it again."""
        return self.learning & (losses > 0)


def observed_shares(labels: Tensor) -> Tensor:
    """The share of rows on which each task is observed, float32 [tasks], from labels [rows, tasks], NaN elsewhere.

    Mean losses over observed rows, times these shares, add up to the negative log-likelihood of all observed labels,
    divided by the rows: every label counts alike, as in the joint likelihood that uncertainty weighting is derived
    from. Without the share, a label observed on one row of fifty counts fifty times, and its noise moves what all
    tasks share. (Labels observed on fewer than about two rows of a batch count for less: batches without any add 0.)
    """
    return (~labels.isnan()).float().mean(0)


def trunk_gradients(losses: Tensor, shared: Tensor) -> Tensor:
    """The gradient of each loss at the trunk, flat: float32 [tasks, elements], also of a trunk of lower precision; 0 of
    a loss that does not reach it."""
    gradients = [
        torch.autograd.grad(loss, shared, retain_graph=True, materialize_grads=True)[0] for loss in losses
    ]
    return torch.stack(gradients).flatten(1).float()
