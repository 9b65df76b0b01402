"""Conflict between tasks made visible: the cosine of their losses' gradients while the network learns.

Above zero, a step that helps one task helps the other too; below zero, it hurts it (Yu et al., NeurIPS 2020,
https://arxiv.org/abs/2001.06782, who call that conflict; Du et al. 2018, https://arxiv.org/abs/1812.02224). Gradients
are taken with respect to all parameters that more than one task moves, where the optimiser adds them up. Weights of
losses do not matter to a cosine.

Measured on the same training rows at every round, without dropout and without any random number, so that training is
not changed by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import torch
from torch import Tensor

from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.learning.data.samples import observed_samples
from mtl_pipeline.learning.data.streaming import TrainingRows
from mtl_pipeline.learning.training.callbacks.base import Callback, Run
from mtl_pipeline.learning.training.optimisation.losses import training_losses

SHARE_OF_PASSES = 0.04
"""Share of training's forward and backward passes that the measurement may cost at worst, with no row observed for two
tasks. Of the whole time of training it is about 1 % on MovieLens."""
MOST_ROWS, FEWEST_ROWS = 4096, 64
"""Rows on which one task is observed; more make the cosine steadier."""


class GradientConflict(Callback):
    """Measures on training rows on which each task is observed."""

    def start(self, run: Run) -> None:
        super().start(run)
        if len(run.tasks) > 1:
            most = affordable_rows(run.rows_per_round, len(run.tasks))
            self.rows = sampled_rows(run.train, most, run.seed)

    def after_round(self, entry: dict[str, float]) -> None:
        """Adds `gradient_cosine/<task>~<other task>` for each pair of tasks that still learn and have gradients."""
        network, tasks = self.run.network, self.run.tasks
        learning = [column for column in range(len(tasks)) if column not in self.run.frozen]
        if len(learning) < 2:
            return
        network.eval()
        losses = training_losses(network, network(self.rows), self.rows.labels, tasks)
        cosines = gradient_cosines(losses[learning], network.shared_parameters)
        for one, other in combinations(range(len(learning)), 2):
            if (cosine := float(cosines[one, other])) == cosine:
                pair = f"{tasks[learning[one]].name}~{tasks[learning[other]].name}"
                entry[f"gradient_cosine/{pair}"] = cosine


def affordable_rows(rows_per_round: int, tasks: int) -> int:
    """Rows for each task. A training step costs one forward pass and one backward pass, which takes twice as long; this
    costs a backward pass for each task, at worst on different rows."""
    steps = (1 + 2 * tasks) / 3
    return int(min(MOST_ROWS, max(FEWEST_ROWS, SHARE_OF_PASSES * rows_per_round / steps / tasks)))


def sampled_rows(train: TrainingRows, most: int, seed: int) -> Rows:
    """Rows on which each task keeps at most `most` of its labels: a fair sample for each, however rarely observed."""
    labels = train.labels.cpu().numpy()
    samples = [torch.from_numpy(sample) for sample in observed_samples(labels, most, seed)]
    rows = torch.cat(samples).unique()
    chosen = train[rows.to(train.labels.device)]
    kept = torch.stack([torch.isin(rows, sample) for sample in samples], 1).to(train.labels.device)
    return replace(chosen, labels=chosen.labels.masked_fill(~kept, float("nan")))


def gradient_cosines(losses: Tensor, parameters: Sequence[torch.nn.Parameter]) -> Tensor:
    """float64 [tasks, tasks]: cosines between the gradients of the losses (float32 [tasks]) with respect to all
    parameters together; NaN where a gradient is zero. `grad` stays as it was."""
    last = len(losses) - 1
    by_task = [
        torch.autograd.grad(loss, parameters, retain_graph=task < last) for task, loss in enumerate(losses)
    ]
    products = torch.zeros(len(losses), len(losses), dtype=torch.float64)
    for of_parameter in zip(*by_task, strict=True):
        flat = torch.stack([dense_values(gradient) for gradient in of_parameter])
        products += (flat @ flat.T).double().cpu()
    norms = products.diagonal().sqrt()
    return products / (norms[:, None] * norms)


def dense_values(gradient: Tensor) -> Tensor:
    """The numbers of a gradient in one row. Sparse ones of the same batch touch the same rows of a table."""
    return (gradient.coalesce().values() if gradient.is_sparse else gradient).flatten()
