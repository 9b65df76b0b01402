"""What every architecture offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn


class Architecture(nn.Module, ABC):
    """From the representation that all tasks read to what the tower of each task reads."""

    def forward(self, representation: Tensor) -> list[Tensor]:
        """float32 [rows, width] → per task, float32 [rows, hidden[-1]]. Only linear layers read the representation,
        which may come as a sum: see factored.py."""
        return self.branches(self.trunk(representation), representation)

    def trunk(self, representation: Tensor) -> Tensor:
        """What all tasks read, as late as it is the same for all: there balancers compare the gradients of tasks. Of
        any shape; the representation itself where every task has layers of its own from there."""
        return representation

    @abstractmethod
    def branches(self, trunk: Tensor, representation: Tensor) -> list[Tensor]:
        """What each task makes of the trunk: float32 [rows, hidden[-1]] each."""

    def task_modules(self) -> list[nn.Module]:
        """The parts that the losses of single tasks move: gates, and experts of a task's own."""
        return []


class Mixture(Architecture):
    """An architecture of experts, of which each task reads a mixture of its own."""

    owners: Sequence[int | None]
    """Of each expert the task that alone reads it, None where all do."""

    @abstractmethod
    def gate_weights(self, representation: Tensor) -> Tensor:
        """float32 [rows, tasks, experts]: the share of each expert in what a task reads."""
