"""What may be done at fixed moments of training, besides learning."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from mtl_pipeline.learning.data.streaming import TrainingRows
from mtl_pipeline.learning.network import MultiTaskNetwork
from mtl_pipeline.spec import Task


@dataclass
class Run:
    """One training, as callbacks see it."""

    network: MultiTaskNetwork
    tasks: Sequence[Task]
    train: TrainingRows
    """With the labels that the training loss reads."""
    rows_per_round: int
    """Rows trained on between two validation rounds."""
    seed: int
    frozen: set[int] = field(default_factory=set)
    """Places of the tasks that no longer learn from labels; training ends when all are in it."""
    rounds: list[dict[str, float]] = field(default_factory=list)
    """The training log: an entry for each validation round."""
    seconds: float = 0.0
    """Until the last of them, without interruptions."""

    def state_dict(self) -> dict[str, Any]:
        return {"frozen": sorted(self.frozen), "rounds": self.rounds, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.frozen.update(state["frozen"])
        self.rounds.extend(state["rounds"])
        self.seconds = state["seconds"]


class Callback:
    """Does nothing at any moment; each callback overrides those that it needs."""

    def start(self, run: Run) -> None:
        """Before the first batch."""
        self.run = run

    def before_backward(self, losses: Tensor, outputs: Tensor, rows: Tensor) -> Tensor:
        """The losses (float32 [tasks]) that the balancer gets instead of these. `outputs`: the network's for the batch;
        `rows`: the batch's row numbers."""
        return losses

    def after_step(self) -> None:
        """After each step of the optimiser."""

    def validating(self) -> AbstractContextManager[None]:
        """Entered for the duration of a validation round."""
        return nullcontext()

    def after_validation(self, relative: np.ndarray) -> None:
        """Within `validating`. `relative`: float [tasks], validation loss / loss of a constant answer."""

    def after_round(self, entry: dict[str, float]) -> None:
        """At the end of a round; may add to the round's entry in the training log."""

    def state_dict(self) -> dict[str, Any]:
        """What it would have to know to go on after an interruption, besides what `start` works out."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """After `start`."""
