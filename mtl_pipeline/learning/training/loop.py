"""Joint training: one loop over contiguous tensors, stopped by validation.

The validation score is the mean over tasks of loss / loss of a constant answer, so that a task with
large numbers does not decide alone when to stop.

What is validated, and kept, is a moving average of the weights (see averaging); a task that stopped
improving is held where it was best while the others go on (see holding).

What comes out is calibrated on validation (see calibration); the scores of rounds are before that.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mtl_pipeline.champions import model_fingerprint
from mtl_pipeline.errors import UserError
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.learning.architectures.network import MultiTaskNetwork
from mtl_pipeline.learning.architectures.representation import NetworkShape
from mtl_pipeline.learning.balancing.weighting import WEIGHTINGS, StaticWeighting, observed_shares
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.learning.data.seen import write_seen
from mtl_pipeline.learning.training.averaging import AveragedWeights
from mtl_pipeline.learning.training.calibration import fit_calibration
from mtl_pipeline.learning.training.conflict import GradientConflict
from mtl_pipeline.learning.training.holding import MEAN, HeldTasks, Progress
from mtl_pipeline.learning.training.losses import loss_sums, task_losses
from mtl_pipeline.learning.training.provenance import write_trained_with
from mtl_pipeline.learning.training.ranker import ROWS_AT_ONCE, LabelScale, Ranker, save_ranker
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import ensure_writable, publish_folder
from mtl_pipeline.spec import PipelineSpec, Task

Log = Callable[[str], None]
AfterRound = Callable[[np.ndarray], None]
"""Called with float [tasks], each validation loss / loss of a constant answer; stops training by what it raises."""

ROUNDS_PER_EPOCH = 2
"""Validation rounds per epoch: small data can overfit within one."""
LEAST_STEPS_PER_ROUND = 20
"""Training steps between validation rounds, also where the rows fill fewer batches."""


class Diverged(UserError):
    """Training left the finite numbers."""


@dataclass(frozen=True)
class TrainingSummary:
    """What training did, and how good its best round was on validation."""

    rows: int
    rounds: int
    best_epoch: float
    best_validation_score: float
    """Mean over tasks of validation loss / loss of the training mean; below 1 = something was learned."""
    validation_losses: dict[str, float]
    calibration: dict[str, str]
    """By task the method, and why that one."""
    parameters: int
    device: str
    seconds: float
    rows_per_second: float
    fingerprint: str


@dataclass
class Fit:
    """A trained network with its log."""

    ranker: Ranker
    shape: NetworkShape
    log: list[dict[str, float]]
    best: dict[str, float]
    rows: int
    seconds: float


def train_ranker(
    paths: PipelinePaths, spec: PipelineSpec, *, target: Path, log: Log = print
) -> TrainingSummary:
    """Train the multi-task ranker and publish it at `target`.

    Raises UserError when examples or text vectors are missing or damaged, or `target` cannot be written.
    """
    ensure_writable(target)
    dataset = Dataset(paths, spec)
    fit = fit_network(dataset, spec, spec.tasks, log)
    validation = fit.ranker.predict_uncalibrated(dataset.validation)
    fit.ranker.calibration = fit_calibration(spec, dataset.validation_labels, validation)
    with publish_folder(target) as folder:
        save_ranker(folder, fit.ranker, fit.shape, spec, dataset.slots, dataset.text)
        write_trained_with(folder, dataset, spec)
        write_seen(folder, spec, dataset.split("train", "validation"))
        dataset.statistics.write_parquet(folder / "statistics.parquet")
        dataset.vocabulary.write_parquet(folder / "vocabulary.parquet")
        (folder / "training_log.json").write_text(json.dumps(fit.log, indent=1) + "\n")
        fingerprint = model_fingerprint(folder)
    epochs = fit.log[-1]["epoch"]
    return TrainingSummary(
        rows=fit.rows,
        rounds=len(fit.log),
        best_epoch=fit.best["epoch"],
        best_validation_score=fit.best["score"],
        validation_losses={task.name: fit.best[f"validation_loss/{task.name}"] for task in spec.tasks},
        calibration={task: str(found) for task, found in fit.ranker.calibration.items()},
        parameters=sum(parameter.numel() for parameter in fit.ranker.network.parameters()),
        device=str(dataset.device),
        seconds=round(fit.seconds, 2),
        rows_per_second=round(
            fit.rows * passes_per_epoch(fit.rows, spec.training.batch_size) * epochs / fit.seconds
        ),
        fingerprint=fingerprint,
    )


def fit_network(
    dataset: Dataset,
    spec: PipelineSpec,
    tasks: Sequence[Task],
    log: Log,
    after_round: AfterRound = lambda relative: None,
    *,
    measure_conflict: bool = True,
) -> Fit:
    """Train a network for some of the tasks; the best round on validation wins.

    Rows on which none of the tasks is observed are left out. `measure_conflict` adds the cosines between the
    tasks' gradients to the log, and changes nothing else. Same seed, same result on the same device
    and number of threads. Raises Diverged where a loss is no longer finite.
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
    shares = observed_shares(train.labels) if settings.balance == "labels" else None
    weighting = WEIGHTINGS[settings.weighting](tasks, shares).to(device)
    optimizers = make_optimizers(network, weighting, settings.learning_rate, settings.weight_decay)
    constant = constant_losses(train.labels, validation.labels, tasks)

    started = time.perf_counter()
    rounds: list[dict[str, float]] = []
    progress = Progress(len(tasks))
    held = HeldTasks(tasks, train)
    average = AveragedWeights(network)
    rows_per_round = len(train) * passes_per_epoch(len(train), settings.batch_size) // ROUNDS_PER_EPOCH
    conflict = GradientConflict(train, tasks if measure_conflict else [], rows_per_round, spec.seed)
    for epoch in range(settings.epochs):
        for part, losses in enumerate(
            train_epoch(network, weighting, optimizers, train, tasks, held, settings.batch_size, average)
        ):
            with average.in_place():
                measured = validation_losses(network, validation, tasks)
                relative = measured / constant
                refuse_divergence(relative, tasks)
                progress.record(relative, network)
            rounds.append(
                round_log(epoch + (part + 1) / ROUNDS_PER_EPOCH, relative, losses, measured, weighting, tasks)
            )
            rounds[-1] |= conflict.measure(network, held)
            log(describe_round(rounds[-1], tasks, time.perf_counter() - started))
            after_round(relative)
            for column in progress.stalled(settings.patience):
                if not held.holds(column):
                    held.hold(column, network, progress.best_weights[column])
                    log(f"{tasks[column].name} is held at its best round")
        if held.all_held:
            break
    seconds = time.perf_counter() - started
    network.load_state_dict(progress.best_weights[MEAN])
    ranker = Ranker(network, list(tasks), scale)
    return Fit(ranker, shape, rounds, rounds[progress.best_round[MEAN]], len(train), seconds)


def refuse_divergence(relative: np.ndarray, tasks: Sequence[Task]) -> None:
    diverged = [task.name for task, score in zip(tasks, relative, strict=True) if not np.isfinite(score)]
    if diverged:
        raise Diverged(
            f"training of {', '.join(diverged)} diverged: its validation loss is no longer finite. "
            "Lower training.learning_rate in defs.yaml, and look for extreme values among labels and features"
        )


def round_log(
    epoch: float,
    relative: np.ndarray,
    losses: np.ndarray,
    measured: np.ndarray,
    weighting: StaticWeighting,
    tasks: Sequence[Task],
) -> dict[str, float]:
    weights = weighting.weights().detach().cpu()
    entry = {"epoch": epoch, "score": float(relative.mean())}
    for name, values in (("train_loss", losses), ("validation_loss", measured), ("weight", weights)):
        entry |= {f"{name}/{task.name}": float(value) for task, value in zip(tasks, values, strict=True)}
    return entry


def train_epoch(
    network: MultiTaskNetwork,
    weighting: StaticWeighting,
    optimizers: Sequence[torch.optim.Optimizer],
    train: Rows,
    tasks: Sequence[Task],
    held: HeldTasks,
    batch_size: int,
    average: AveragedWeights,
) -> Iterator[np.ndarray]:
    """The rows in random order. Yields the mean task losses of each part of the epoch."""
    passes = passes_per_epoch(len(train), batch_size)
    order = torch.cat([torch.randperm(len(train)) for _ in range(passes)]).to(train.ids.device)
    shuffled = train[order]
    batches = [shuffled[start : start + batch_size] for start in range(0, len(order), batch_size)]
    for part in np.array_split(np.arange(len(batches)), ROUNDS_PER_EPOCH):
        network.train()
        total = torch.zeros(len(tasks), device=order.device)
        for index in part:
            batch = batches[index]
            outputs = network(batch)
            losses = task_losses(outputs, batch.labels, tasks)
            for optimizer in optimizers:
                optimizer.zero_grad()
            rows = order[index * batch_size : (index + 1) * batch_size]
            held.total(outputs, rows, losses, weighting).backward()
            for optimizer in optimizers:
                optimizer.step()
            total += losses.detach()
            average.after_step()
        yield (total / max(1, len(part))).cpu().numpy()


def passes_per_epoch(rows: int, batch_size: int) -> int:
    """How often an epoch goes through the rows: once, unless they fill too few batches to learn from between
    two validation rounds."""
    return max(1, math.ceil(ROUNDS_PER_EPOCH * LEAST_STEPS_PER_ROUND * batch_size / rows))


def validation_losses(network: MultiTaskNetwork, rows: Rows, tasks: Sequence[Task]) -> np.ndarray:
    """Mean loss of each task: float [tasks]; NaN-free, 0 where no label is observed."""
    network.eval()
    sums, counts = torch.zeros(len(tasks)), torch.zeros(len(tasks))
    with torch.inference_mode():
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = rows[start : start + ROWS_AT_ONCE]
            loss, count = loss_sums(network(part), part.labels, tasks)
            sums, counts = sums + loss.cpu(), counts + count.cpu()
    return (sums / counts.clamp(min=1)).numpy()


def constant_losses(train: Tensor, validation: Tensor, tasks: Sequence[Task]) -> np.ndarray:
    """Validation loss of each task for the best constant answer of the training split: float [tasks]."""
    answers = torch.cat([constant_outputs(train[:, column], task) for column, task in enumerate(tasks)])
    losses = task_losses(answers.expand(len(validation), -1), validation, tasks).cpu().numpy()
    return np.where(losses > 0, losses, 1.0)


def constant_outputs(labels: Tensor, task: Task) -> Tensor:
    """What the network would have to give for every row to answer with the base rate: float32 [outputs]."""
    return KINDS[task.kind].constant_logits(labels[~labels.isnan()], task)


def label_scale(labels: Tensor, tasks: Sequence[Task]) -> LabelScale:
    """Mean and deviation of the observed training labels of regression tasks."""
    mean, deviation = [0.0] * len(tasks), [1.0] * len(tasks)
    for column, task in enumerate(tasks):
        if KINDS[task.kind].is_standardised:
            observed = labels[:, column][~labels[:, column].isnan()].double()
            mean[column] = float(observed.mean())
            deviation[column] = float(observed.std(correction=0)) or 1.0
    return LabelScale(mean, deviation)


def labelled_rows(rows: Rows, columns: list[int], scale: LabelScale) -> Rows:
    """The rows with at least one of the tasks observed, labels of these tasks only, standardised."""
    labels = (rows.labels[:, columns] - torch.tensor(scale.mean)) / torch.tensor(scale.deviation)
    return replace(rows, labels=labels)[(~labels.isnan()).any(1)]


def start_at_base_rates(network: MultiTaskNetwork, labels: Tensor, tasks: Sequence[Task]) -> None:
    """Start each tower at the answer of its base rate, so that training need not find it first."""
    for column, (tower, task) in enumerate(zip(network.towers, tasks, strict=True)):
        tower.get_parameter("1.bias").data.copy_(constant_outputs(labels[:, column], task))


def make_optimizers(
    network: MultiTaskNetwork, weighting: nn.Module, learning_rate: float, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """AdamW for the network; Adam with sparse gradients for the id tables, which touch few rows a batch."""
    tables = network.representation.tables
    dense = [
        parameter for parameter in network.parameters() if not any(parameter is table for table in tables)
    ]
    groups = [
        {"params": dense, "weight_decay": weight_decay},
        {"params": list(weighting.parameters()), "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate, fused=True)
    ]
    return [*optimizers, torch.optim.SparseAdam(tables, lr=learning_rate)] if tables else optimizers


def describe_round(entry: dict[str, float], tasks: Sequence[Task], seconds: float) -> str:
    losses = ", ".join(f"{task.name} {entry[f'validation_loss/{task.name}']:.4f}" for task in tasks)
    return (
        f"epoch {entry['epoch']:.1f}, {seconds:.0f} s: validation loss {losses}; score {entry['score']:.4f}"
    )
