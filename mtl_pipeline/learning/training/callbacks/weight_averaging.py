"""A moving average of the weights: it wanders less than the weights themselves, and generalises better
(Polyak and Juditsky, SIAM Journal on Control and Optimization 30 (4), 1992)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from mtl_pipeline.learning.training.callbacks.base import Callback, Run

STEPS_BETWEEN = 10
DECAY = 0.9
"""Per update, which there is one of every so many steps: the average looks back over about 100 steps."""


class WeightAveraging(Callback):
    """An exponential moving average of the parameters, shorter at first, and of the statistics that normalising layers
    keep. The average is what is validated and kept.

    Of an id table only the rows that batches touched are looked at. A row's average then counts the time since it was
    last looked at as time at its new value, which for rows that batches seldom touch is what most of it will have been
    by the time anybody asks.
    """

    def start(self, run: Run) -> None:
        tables = run.network.representation.tables
        places = {table.data_ptr() for table in tables}
        self.parameters = [
            tensor
            for tensor in run.network.state_dict().values()
            if tensor.is_floating_point() and tensor.data_ptr() not in places
        ]
        self.averages = [parameter.clone() for parameter in self.parameters]
        self.tables = [TableAverage(table) for table in tables]
        self.steps = self.updates = 0

    def after_step(self) -> None:
        self.steps += 1
        for table in self.tables:
            table.note()
        if self.steps % STEPS_BETWEEN == 0:
            self.updates += 1
            decay = min(DECAY, self.updates / (10 + self.updates))
            torch._foreach_lerp_(self.averages, self.parameters, 1 - decay)
            for table in self.tables:
                table.update(decay)

    def state_dict(self) -> dict[str, Any]:
        tables = [table.state_dict() for table in self.tables]
        return {"averages": self.averages, "tables": tables, "steps": self.steps, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        torch._foreach_copy_(self.averages, state["averages"])
        for table, of_table in zip(self.tables, state["tables"], strict=True):
            table.load_state_dict(of_table)
        self.steps, self.updates = state["steps"], state["updates"]

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Within the block, the parameters are the averages."""
        for table in self.tables:
            table.settle()
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def swap(self) -> None:
        of_tables = ((table.values, table.average) for table in self.tables)
        for parameter, average in chain(zip(self.parameters, self.averages, strict=True), of_tables):
            kept = parameter.clone()
            parameter.copy_(average)
            average.copy_(kept)


class TableAverage:
    """The moving average of a table of which a step touches few rows."""

    def __init__(self, table: torch.nn.Parameter) -> None:
        self.table, self.values = table, table.data
        self.average = self.values.clone()
        self.looked_at = torch.zeros(len(table), dtype=torch.int32, device=table.device)
        """Of each row, the update that last looked at it."""
        self.log_decays = [0.0]
        """Of all updates until each, added up."""
        self.touched: list[Tensor] = []

    def note(self) -> None:
        """Which rows the last step touched."""
        if self.table.grad is not None:
            self.touched.append(self.table.grad._indices()[0])

    def update(self, decay: float) -> None:
        """Move the average of the rows that were touched since the last update towards their values."""
        self.log_decays.append(self.log_decays[-1] + math.log(decay))
        if self.touched:
            rows = torch.cat(self.touched).unique()
            self.touched.clear()
            average = self.average.index_select(0, rows)
            average.lerp_(self.values.index_select(0, rows), self.due(self.looked_at[rows]))
            self.average.index_copy_(0, rows, average)
            self.looked_at.index_fill_(0, rows, len(self.log_decays) - 1)

    def settle(self) -> None:
        """Move the average of all rows, and count updates anew."""
        self.average.lerp_(self.values, self.due(self.looked_at))
        self.looked_at.zero_()
        self.log_decays = [0.0]

    def due(self, looked_at: Tensor) -> Tensor:
        """How far averages have to go to the values, float32 [rows, 1]."""
        log_decays = torch.tensor(self.log_decays, dtype=torch.float64, device=looked_at.device)
        return (1 - (log_decays[-1] - log_decays[looked_at]).exp()).float().unsqueeze(1)

    def state_dict(self) -> dict[str, Any]:
        names = ("average", "looked_at", "log_decays", "touched")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average.copy_(state["average"])
        self.looked_at.copy_(state["looked_at"])
        self.log_decays = state["log_decays"]
        self.touched = [rows.to(self.average.device) for rows in state["touched"]]
