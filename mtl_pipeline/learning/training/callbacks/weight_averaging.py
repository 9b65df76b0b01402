"""A moving average of the weights: it wanders less than the weights themselves, and generalises better
(Polyak and Juditsky, SIAM Journal on Control and Optimization 30 (4), 1992)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from mtl_pipeline.learning.training.callbacks.base import Callback, Run

STEPS_BETWEEN = 10
"""Averaging touches every weight, including the rows of large tables that a step leaves alone."""
DECAY = 0.9
"""Per update: the average looks back over about 100 steps."""


class WeightAveraging(Callback):
    """An exponential moving average of the parameters, shorter at first, and of the statistics that normalising layers
    keep. The average is what is validated and kept."""

    def start(self, run: Run) -> None:
        state = run.network.state_dict().values()
        self.parameters = [tensor for tensor in state if tensor.is_floating_point()]
        self.averages = [parameter.clone() for parameter in self.parameters]
        self.steps = 0

    def after_step(self) -> None:
        self.steps += 1
        if self.steps % STEPS_BETWEEN == 0:
            updates = self.steps // STEPS_BETWEEN
            decay = min(DECAY, updates / (10 + updates))
            torch._foreach_lerp_(self.averages, self.parameters, 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        return {"averages": self.averages, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        torch._foreach_copy_(self.averages, state["averages"])
        self.steps = state["steps"]

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Within the block, the parameters are the averages."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def swap(self) -> None:
        for parameter, average in zip(self.parameters, self.averages, strict=True):
            kept = parameter.clone()
            parameter.copy_(average)
            average.copy_(kept)
