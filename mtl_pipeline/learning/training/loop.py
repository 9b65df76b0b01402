"""Joint training: one loop over contiguous tensors, stopped by validation.

The validation score is the mean over tasks of loss / loss of a constant answer, so that a task with
large numbers does not decide alone when to stop. The scores of rounds are those before calibration.

What is validated, and kept, is a moving average of the weights (see callbacks/weight_averaging); a task that stopped
improving is frozen where it was best while the others go on (see callbacks/task_early_stopping).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.architectures.network import MultiTaskNetwork
from mtl_pipeline.learning.architectures.representation import NetworkShape
from mtl_pipeline.learning.balancing import BALANCERS, Balancer
from mtl_pipeline.learning.balancing.base import observed_shares
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.learning.training.base_rates import (
    constant_losses,
    label_scale,
    labelled_rows,
    start_at_base_rates,
)
from mtl_pipeline.learning.training.callbacks.base import Callback, Run
from mtl_pipeline.learning.training.callbacks.task_early_stopping import MEAN, TaskEarlyStopping
from mtl_pipeline.learning.training.callbacks.weight_averaging import WeightAveraging
from mtl_pipeline.learning.training.losses import loss_sums, task_losses
from mtl_pipeline.learning.training.optimizers import make_optimizers
from mtl_pipeline.learning.training.ranker import ROWS_AT_ONCE, Ranker
from mtl_pipeline.spec import PipelineSpec, Task

Log = Callable[[str], None]
Batch = tuple[Tensor, Rows]
"""Row numbers, and the rows themselves."""

ROUNDS_PER_EPOCH = 2
"""Validation rounds per epoch: small data can overfit within one."""
LEAST_STEPS_PER_ROUND = 20
"""Training steps between validation rounds, also where the rows fill fewer batches."""


class Diverged(UserError):
    """Training left the finite numbers."""


@dataclass
class Fit:
    """A trained network with its log."""

    ranker: Ranker
    shape: NetworkShape
    log: list[dict[str, float]]
    best: dict[str, float]
    rows: int
    seconds: float


def fit_network(
    dataset: Dataset,
    spec: PipelineSpec,
    tasks: Sequence[Task],
    log: Log,
    callbacks: Sequence[Callback] = (),
) -> Fit:
    """Train a network for some of the tasks; the best round on validation wins.

    Rows on which none of the tasks is observed are left out. Same seed, same result on the same device and number of
    threads. Raises Diverged where a loss is no longer finite.
    """
    torch.manual_seed(spec.seed)
    settings, device = spec.training, dataset.device
    columns = [dataset.encoder.tasks.index(task.name) for task in tasks]
    scale = label_scale(dataset.train.labels[:, columns], tasks)
    train = labelled_rows(dataset.train, columns, scale).to(device)
    validation = labelled_rows(dataset.validation, columns, scale).to(device)
    shape = NetworkShape(
        ids={name: len(dataset.encoder.vocabulary.get(name, ())) for name in spec.ids},
        fields=tuple(dataset.encoder.fields),
        numerics=train.numeric.shape[1],
        outputs=tuple(task.outputs for task in tasks),
    )
    network = MultiTaskNetwork(spec.model, shape, dataset.text.tensors).to(device)
    start_at_base_rates(network, train.labels, tasks)
    shares = observed_shares(train.labels) if settings.loss_normalisation == "labels" else None
    balancer = BALANCERS[settings.weighting](tasks, shares).to(device)
    optimizers = make_optimizers(network, balancer, settings)
    constant = constant_losses(train.labels, validation.labels, tasks)

    started = time.perf_counter()
    rounds: list[dict[str, float]] = []
    rows_per_round = len(train) * passes_per_epoch(len(train), settings.batch_size) // ROUNDS_PER_EPOCH
    run = Run(network, tasks, train, rows_per_round, spec.seed)
    early_stopping = TaskEarlyStopping(settings.patience, log)
    callbacks = [WeightAveraging(), *callbacks, early_stopping]
    for callback in callbacks:
        callback.start(run)
    for epoch, batches in batches_by_round(train, settings.epochs, settings.batch_size):
        losses = train_on(batches, network, balancer, optimizers, tasks, callbacks)
        measured = validate(network, validation, tasks, constant, callbacks)
        rounds.append(round_log(epoch, losses, measured, constant, balancer, tasks))
        log(describe_round(rounds[-1], tasks, time.perf_counter() - started))
        for callback in callbacks:
            callback.after_round(rounds[-1])
        if len(run.frozen) == len(tasks) and epoch.is_integer():
            break  # not earlier: what is distilled from a task's best round is at times better than that
    seconds = time.perf_counter() - started
    network.load_state_dict(early_stopping.best_weights[MEAN])
    ranker = Ranker(network, list(tasks), scale)
    return Fit(ranker, shape, rounds, rounds[early_stopping.best_round[MEAN]], len(train), seconds)


def batches_by_round(train: Rows, epochs: int, batch_size: int) -> Iterator[tuple[float, list[Batch]]]:
    """The batches before each validation round, with the epochs done after them; each epoch in a random order."""
    passes = passes_per_epoch(len(train), batch_size)
    for epoch in range(epochs):
        order = torch.cat([torch.randperm(len(train)) for _ in range(passes)]).to(train.ids.device)
        shuffled = train[order]
        starts = range(0, len(order), batch_size)
        batches = [
            (order[start : start + batch_size], shuffled[start : start + batch_size]) for start in starts
        ]
        for part, places in enumerate(np.array_split(np.arange(len(batches)), ROUNDS_PER_EPOCH), start=1):
            yield epoch + part / ROUNDS_PER_EPOCH, [batches[place] for place in places]


def train_on(
    batches: Sequence[Batch],
    network: MultiTaskNetwork,
    balancer: Balancer,
    optimizers: Sequence[torch.optim.Optimizer],
    tasks: Sequence[Task],
    callbacks: Sequence[Callback],
) -> np.ndarray:
    """Take a step on each batch. Returns the mean task losses: float [tasks]."""
    network.train()
    total = torch.zeros(len(tasks), device=balancer.declared.device)
    for rows, batch in batches:
        shared = network.representation(batch)
        outputs = network.outputs(shared)
        losses = task_losses(outputs, batch.labels, tasks)
        total += losses.detach()
        for callback in callbacks:
            losses = callback.before_backward(losses, outputs, rows)
        for optimizer in optimizers:
            optimizer.zero_grad()
        balancer.backward(losses, shared)
        for optimizer in optimizers:
            optimizer.step()
        for callback in callbacks:
            callback.after_step()
    return (total / max(1, len(batches))).cpu().numpy()


def validate(
    network: MultiTaskNetwork,
    validation: Rows,
    tasks: Sequence[Task],
    constant: np.ndarray,
    callbacks: Sequence[Callback],
) -> np.ndarray:
    """Mean validation loss of each task: float [tasks]. Raises Diverged where it is no longer finite."""
    with ExitStack() as stack:
        for callback in callbacks:
            stack.enter_context(callback.validating())
        losses = validation_losses(network, validation, tasks)
        refuse_divergence(losses, tasks)
        for callback in callbacks:
            callback.after_validation(losses / constant)
    return losses


def refuse_divergence(losses: np.ndarray, tasks: Sequence[Task]) -> None:
    diverged = [task.name for task, loss in zip(tasks, losses, strict=True) if not np.isfinite(loss)]
    if diverged:
        raise Diverged(
            f"training of {', '.join(diverged)} diverged: its validation loss is no longer finite. "
            "Lower training.learning_rate in defs.yaml, and look for extreme values among labels and features"
        )


def round_log(
    epoch: float,
    losses: np.ndarray,
    measured: np.ndarray,
    constant: np.ndarray,
    balancer: Balancer,
    tasks: Sequence[Task],
) -> dict[str, float]:
    weights = balancer.weights().detach().cpu()
    entry = {"epoch": epoch, "score": float((measured / constant).mean())}
    for name, values in (("train_loss", losses), ("validation_loss", measured), ("weight", weights)):
        entry |= {f"{name}/{task.name}": float(value) for task, value in zip(tasks, values, strict=True)}
    return entry


def passes_per_epoch(rows: int, batch_size: int) -> int:
    """How often an epoch goes through the rows: once, unless they fill too few batches to learn from between
    two validation rounds."""
    return max(1, math.ceil(ROUNDS_PER_EPOCH * LEAST_STEPS_PER_ROUND * batch_size / rows))


def validation_losses(network: MultiTaskNetwork, rows: Rows, tasks: Sequence[Task]) -> np.ndarray:
    """Mean loss of each task: float [tasks]; NaN-free, 0 where no label is observed."""
    network.eval()
    sums, counts = torch.zeros(len(tasks)), torch.zeros(len(tasks))
    with torch.inference_mode():
        for part in rows.batches(ROWS_AT_ONCE):
            loss, count = loss_sums(network(part), part.labels, tasks)
            sums, counts = sums + loss.cpu(), counts + count.cpu()
    return (sums / counts.clamp(min=1)).numpy()


def describe_round(entry: dict[str, float], tasks: Sequence[Task], seconds: float) -> str:
    losses = ", ".join(f"{task.name} {entry[f'validation_loss/{task.name}']:.4f}" for task in tasks)
    return (
        f"epoch {entry['epoch']:.1f}, {seconds:.0f} s: validation loss {losses}; score {entry['score']:.4f}"
    )
