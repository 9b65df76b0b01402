"""What every architecture offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from mtl_pipeline.spec import Model, Task


class Architecture(nn.Module, ABC):
    """From the representation that all tasks read to what the tower of each task reads. Made of a Layout and the
    settings."""

    own_ids = False
    """Whether each task has an embedding of every id to itself."""

    def forward(self, representation: Tensor) -> list[Tensor]:
        """float32 [rows, width] → per task, float32 [rows, first width of its tower]. Only linear layers read the
        representation, which may come as a sum: see factored.py. What needs it whole takes it through a Whole."""
        return self.branches(self.trunk(representation), representation)

    def trunk(self, representation: Tensor) -> Tensor:
        """What all tasks read, as late as it is the same for all: there balancers compare the gradients of tasks. Of
        any shape; the representation itself where every task has layers of its own from there."""
        return representation

    @abstractmethod
    def branches(self, trunk: Tensor, representation: Tensor) -> list[Tensor]:
        """What each task makes of the trunk: float32 [rows, first width of its tower] each."""

    def tower(self, settings: Model) -> list[int]:
        """The width that each task's tower reads, and those of its hidden layers."""
        return [settings.hidden[-1], *settings.tower]

    def task_modules(self) -> list[nn.Module]:
        """The parts that not every task's loss moves: gates, experts of a task's own, MLPs of a task's own."""
        return []

    def training_labels(self, labels: Tensor, tasks: Sequence[Task]) -> Tensor:
        """The labels that training compares with `training_outputs`: float32 [rows, tasks], NaN where not observed."""
        return labels

    def training_outputs(self, outputs: Tensor, tasks: Sequence[Task]) -> Tensor:
        """What the training loss reads in place of the network's outputs: float32 [rows, outputs of all tasks].
        Validation and predictions read the outputs themselves."""
        return outputs


class Mixture(Architecture):
    """An architecture of experts, of which each task reads a mixture of its own."""

    owners: Sequence[int | None]
    """Of each expert the task whose loss alone moves it, None where all tasks' do."""

    @abstractmethod
    def expert_outputs(self, representation: Tensor) -> Tensor:
        """float32 [experts, rows, hidden[-1]]: what the experts give that tasks mix."""

    @abstractmethod
    def gate_weights(self, representation: Tensor) -> Tensor:
        """float32 [rows, tasks, experts]: the share of each expert in what a task reads."""
