"""What every architecture offers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class Architecture(nn.Module):
    """From the representation that all tasks read (float32 [rows, width]) to what the tower of each task reads
    (`forward`: per task, float32 [rows, hidden[-1]])."""

    owners: Sequence[int | None] = ()
    """Of each expert the task that alone reads it, None where all do. Empty without experts."""

    def task_modules(self) -> list[nn.Module]:
        """The parts that the losses of single tasks move: gates, and experts of a task's own."""
        return []

    def gate_weights(self, representation: Tensor) -> Tensor:
        """float32 [rows, tasks, experts]: the share of each expert in what a task reads."""
        raise NotImplementedError
