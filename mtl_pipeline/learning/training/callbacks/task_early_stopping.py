"""Task-wise early stopping.

Tasks learn at different speeds: one may overfit within an epoch while another still improves in the tenth. So a task
that has not improved for a while is frozen: from then on it no longer learns its labels, but what the network gave at
the task's own best round, while the other tasks go on. This is learning without forgetting (Li and Hoiem, ECCV 2016,
https://arxiv.org/abs/1606.09282), with outputs distilled by squared difference (Ba and Caruana, NeurIPS 2014,
https://arxiv.org/abs/1312.6184).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mtl_pipeline.learning.ranker.members import ROWS_AT_ONCE
from mtl_pipeline.learning.training.callbacks.base import Callback, Run

MEAN = -1
"""The place of the mean over all tasks, behind the tasks."""


class TaskEarlyStopping(Callback):
    """Keeps the best round so far of each task and of the mean over tasks, with its weights; freezes the tasks that did
    not improve in the last `patience` rounds."""

    def __init__(self, patience: int, log: Callable[[str], None] = lambda line: None) -> None:
        self.patience, self.log = patience, log

    def start(self, run: Run) -> None:
        super().start(run)
        self.rounds = 0
        self.best_round = np.zeros(len(run.tasks) + 1, dtype=np.int64)
        self.best_score = np.full(len(run.tasks) + 1, np.inf)
        self.best_weights: list[dict[str, Tensor]] = [{}] * (len(run.tasks) + 1)
        self.targets: dict[int, Tensor] = {}
        """float32 [train rows, outputs of the task], by the place of a frozen task."""

    def before_backward(self, losses: Tensor, outputs: Tensor, rows: Tensor) -> Tensor:
        """The losses of frozen tasks keep their value, but get the gradient of the distance to their targets."""
        if not self.targets:
            return losses
        by_task = list(losses)
        for column, targets in self.targets.items():
            distance = functional.mse_loss(self.part(outputs, column), targets[rows])
            by_task[column] = losses[column].detach() + (distance - distance.detach())
        return torch.stack(by_task)

    def after_validation(self, relative: np.ndarray) -> None:
        scores = np.append(relative, relative.mean())
        improved = np.flatnonzero(scores < self.best_score)
        self.best_round[improved], self.best_score[improved] = self.rounds, scores[improved]
        weights = self.present_weights() if len(improved) else {}
        for place in improved:
            self.best_weights[place] = weights
        self.rounds += 1

    def after_round(self, entry: dict[str, float]) -> None:
        stalled = [
            column
            for column in range(len(self.run.tasks))
            if column not in self.run.frozen and self.rounds - 1 - self.best_round[column] >= self.patience
        ]
        for column in stalled:
            self.log(f"{self.run.tasks[column].name} is frozen at its best round")
            self.targets[column] = self.outputs_with(self.best_weights[column], column)
        self.run.frozen.update(stalled)
        entry.update(
            {
                f"frozen/{task.name}": float(place in self.run.frozen)
                for place, task in enumerate(self.run.tasks)
            }
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "rounds": self.rounds,
            "best_round": self.best_round.tolist(),
            "best_score": self.best_score.tolist(),
            "best_weights": self.best_weights,
            "targets": self.targets,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        device = self.run.train.labels.device
        self.rounds, self.best_weights = state["rounds"], state["best_weights"]
        self.best_round, self.best_score = np.array(state["best_round"]), np.array(state["best_score"])
        self.targets = {column: targets.to(device) for column, targets in state["targets"].items()}

    def outputs_with(self, weights: Mapping[str, Tensor], column: int) -> Tensor:
        """What the network gives for a task on the training rows with these weights: float32 [rows, outputs]."""
        network = self.run.network
        current = self.present_weights()
        network.load_state_dict(weights)
        network.eval()
        with torch.no_grad():
            outputs = [self.part(network(rows), column) for rows in self.run.train.batches(ROWS_AT_ONCE)]
        network.load_state_dict(current)
        return torch.cat(outputs)

    def present_weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.run.network.state_dict().items()}

    def part(self, outputs: Tensor, column: int) -> Tensor:
        return outputs.split([task.outputs for task in self.run.tasks], dim=1)[column]
