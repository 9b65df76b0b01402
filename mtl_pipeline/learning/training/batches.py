"""The batches of a training, and where it is among them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.learning.data.streaming import TrainingRows

ROUNDS_PER_EPOCH = 2
"""Validation rounds per epoch: small data can overfit within one."""
LEAST_STEPS_PER_ROUND = 20
"""Training steps between validation rounds, even where the rows fill fewer batches."""


class Batches:
    """Each epoch has a new random order, and goes through the rows once, unless they fill too few batches for its
    validation rounds."""

    def __init__(self, train: TrainingRows, epochs: int, batch_size: int) -> None:
        self.train, self.epochs, self.batch_size = train, epochs, batch_size
        self.passes = passes_per_epoch(len(train), batch_size)
        self.rounds = 0
        """Drawn so far."""
        self.epoch_began = torch.get_rng_state()

    @property
    def exhausted(self) -> bool:
        return self.rounds >= self.epochs * ROUNDS_PER_EPOCH

    @property
    def epochs_done(self) -> float:
        return self.rounds / ROUNDS_PER_EPOCH

    def draw(self) -> Iterator[tuple[Tensor, Rows]]:
        """The batches until the next validation round: row numbers, and the rows themselves."""
        part = self.rounds % ROUNDS_PER_EPOCH
        if part == 0:
            self.epoch_began = torch.get_rng_state()
            self.shuffle()
        self.rounds += 1
        rows = self.passes * len(self.train)
        starts = np.array_split(np.arange(0, rows, self.batch_size), ROUNDS_PER_EPOCH)[part].tolist()
        return (
            batch
            for numbers, piece in self.pieces(starts[0], min(starts[-1] + self.batch_size, rows))
            for batch in zip(numbers.split(self.batch_size), piece.batches(self.batch_size), strict=True)
        )

    def shuffle(self) -> None:
        self.pieces = self.train.shuffled(self.passes, self.batch_size)

    def state_dict(self) -> dict[str, Any]:
        """With the state of all that is random in training."""
        random = {"cpu": torch.get_rng_state()}
        if self.train.labels.is_cuda:
            random["cuda"] = torch.cuda.get_rng_state(self.train.labels.device)
        return {"rounds": self.rounds, "epoch_began": self.epoch_began, "random": random}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """In the middle of an epoch, its order is drawn again."""
        self.rounds, self.epoch_began = state["rounds"], state["epoch_began"]
        torch.set_rng_state(self.epoch_began)
        if self.rounds % ROUNDS_PER_EPOCH:
            self.shuffle()
        torch.set_rng_state(state["random"]["cpu"])
        if "cuda" in state["random"]:
            torch.cuda.set_rng_state(state["random"]["cuda"], self.train.labels.device)


def passes_per_epoch(rows: int, batch_size: int) -> int:
    return max(1, math.ceil(ROUNDS_PER_EPOCH * LEAST_STEPS_PER_ROUND * batch_size / rows))
