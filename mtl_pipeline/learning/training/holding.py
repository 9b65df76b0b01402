"""Holding tasks at their best round.

Tasks learn at different speeds: one may overfit within an epoch while another still improves in the
tenth. So a task that has not improved for a while is held: from then on it learns no labels, but to
give what the network gave at the task's own best round, while the other tasks go on. This is learning
without forgetting (Li and Hoiem, ECCV 2016, https://arxiv.org/abs/1606.09282), with outputs matched by
squared difference (Ba and Caruana, NeurIPS 2014, https://arxiv.org/abs/1312.6184).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mtl_pipeline.learning.balancing.weighting import StaticWeighting
from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.learning.training.ranker import ROWS_AT_ONCE
from mtl_pipeline.spec import Task

MEAN = -1
"""Where a task's place is asked for: the mean over all tasks."""


class Progress:
    """The best round so far of each task, and of the mean over tasks (MEAN), with the weights of that round."""

    def __init__(self, tasks: int) -> None:
        self.rounds = 0
        self.best_round = dict.fromkeys([MEAN, *range(tasks)], 0)
        self.best_score = dict.fromkeys(self.best_round, float("inf"))
        self.best_weights: dict[int, dict[str, Tensor]] = {}

    def record(self, relative: np.ndarray, network: nn.Module) -> None:
        """`relative`: float [tasks], validation loss / loss of a constant answer."""
        weights: dict[str, Tensor] = {}
        for which, score in ((MEAN, relative.mean()), *enumerate(relative)):
            if score < self.best_score[which]:
                weights = weights or {
                    name: value.detach().clone() for name, value in network.state_dict().items()
                }
                self.best_round[which], self.best_score[which] = self.rounds, float(score)
                self.best_weights[which] = weights
        self.rounds += 1

    def stalled(self, patience: int) -> list[int]:
        """The tasks that did not improve in the last `patience` rounds."""
        return [
            which
            for which, best in self.best_round.items()
            if which != MEAN and self.rounds - 1 - best >= patience
        ]


class HeldTasks:
    """Tasks that no longer learn from labels, with what the network shall go on to give for them."""

    def __init__(self, tasks: Sequence[Task], train: Rows) -> None:
        self.tasks, self.train = tasks, train
        self.targets: dict[int, Tensor] = {}
        """float32 [train rows, outputs of the task], by the task's place."""

    def holds(self, column: int) -> bool:
        return column in self.targets

    @property
    def all_held(self) -> bool:
        return len(self.targets) == len(self.tasks)

    def hold(self, column: int, network: nn.Module, weights: Mapping[str, Tensor]) -> None:
        """Hold a task at what the network gives for the training rows with these weights."""
        current = {name: value.detach().clone() for name, value in network.state_dict().items()}
        network.load_state_dict(weights)
        network.eval()
        with torch.no_grad():
            outputs = [
                self.part(network(self.train[start : start + ROWS_AT_ONCE]), column)
                for start in range(0, len(self.train), ROWS_AT_ONCE)
            ]
        self.targets[column] = torch.cat(outputs)
        network.load_state_dict(current)

    def total(self, outputs: Tensor, rows: Tensor, losses: Tensor, weighting: StaticWeighting) -> Tensor:
        """The loss of a batch: `losses` (float32 [tasks]) of the tasks that learn, and of those that are held
        the distance of their outputs to the targets of these training rows, each with its task's weight."""
        if not self.targets:
            return weighting(losses)
        held = torch.tensor([self.holds(column) for column in range(len(losses))], device=losses.device)
        weights = weighting.weights().detach()
        distances = [
            weights[column] * functional.mse_loss(self.part(outputs, column), targets[rows])
            for column, targets in self.targets.items()
        ]
        return weighting(torch.where(held, losses.detach(), losses)) + torch.stack(distances).sum()

    def part(self, outputs: Tensor, column: int) -> Tensor:
        return outputs.split([task.outputs for task in self.tasks], dim=1)[column]
