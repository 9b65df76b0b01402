"""Joint training: one loop over batches of contiguous tensors, stopped by validation.

The validation score is the mean over tasks of loss / loss of a constant answer, so that a task with large numbers does
not decide alone when to stop. Scores of rounds are measured before calibration.

What is validated, and kept, is a moving average of the weights (see callbacks/weight_averaging). A task that stops
improving is frozen at its best round while the others go on (see callbacks/task_early_stopping).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mtl_pipeline.hardware import keep_freed_memory
from mtl_pipeline.learning.balancing import Balancer, make_balancer
from mtl_pipeline.learning.balancing.base import observed_shares
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.learning.data.streaming import TrainingRows
from mtl_pipeline.learning.network import MultiTaskNetwork
from mtl_pipeline.learning.ranker.members import ROWS_AT_ONCE, Member
from mtl_pipeline.learning.ranker.provenance import networks_trained_with
from mtl_pipeline.learning.ranker.ranker import LabelScale, Ranker
from mtl_pipeline.learning.representation.parts import learned
from mtl_pipeline.learning.representation.representation import NetworkShape
from mtl_pipeline.learning.representation.sequences.base import SequenceShape
from mtl_pipeline.learning.training.batches import ROUNDS_PER_EPOCH, Batches, passes_per_epoch
from mtl_pipeline.learning.training.callbacks.base import Callback, Run
from mtl_pipeline.learning.training.callbacks.task_early_stopping import MEAN, TaskEarlyStopping
from mtl_pipeline.learning.training.callbacks.weight_averaging import WeightAveraging
from mtl_pipeline.learning.training.continuing.checkpoint import Checkpoints
from mtl_pipeline.learning.training.continuing.warm_start import WarmStart
from mtl_pipeline.learning.training.divergence import REMEDY, Diverged, what_diverged
from mtl_pipeline.learning.training.optimisation.losses import (
    constant_losses,
    label_scale,
    labelled_rows,
    loss_sums,
    start_at_base_rates,
    training_losses,
)
from mtl_pipeline.learning.training.optimisation.optimizers import make_optimizers
from mtl_pipeline.learning.training.optimisation.precision import is_mixed, mixed_precision
from mtl_pipeline.progress import time_left
from mtl_pipeline.spec import PipelineSpec, Task, Training

Log = Callable[[str], None]


@dataclass
class Fit:
    """A trained network with its log."""

    ranker: Ranker
    shape: NetworkShape
    log: list[dict[str, float]]
    """An entry for each validation round."""
    best: dict[str, float]
    """The entry of the round that was kept."""
    rows: int
    seconds: float


def fit_network(
    dataset: Dataset,
    spec: PipelineSpec,
    tasks: Sequence[Task],
    log: Log,
    callbacks: Sequence[Callback] = (),
    checkpoints: Checkpoints | None = None,
    start: WarmStart | None = None,
) -> Fit:
    """Train a network for some of the tasks; the best round on validation wins.

    Rows on which none of the tasks is observed are left out. Same seed and `start`, same result on the same device and
    number of threads, also where it was interrupted and went on from one of the `checkpoints`. Raises Diverged when a
    loss is no longer finite.
    """
    keep_freed_memory()
    torch.manual_seed(spec.seed)
    settings, device = spec.training, dataset.device
    prepared = prepare(dataset, spec, tasks, start)
    network, train, validation = prepared.network, prepared.train, prepared.validation
    shares = observed_shares(train.labels) if settings.loss_normalisation == "labels" else None
    balancer = make_balancer(tasks, shares, settings).to(device)
    optimizers = make_optimizers(network, balancer, settings)

    rows_per_round = len(train) * passes_per_epoch(len(train), settings.batch_size) // ROUNDS_PER_EPOCH
    run = Run(network, tasks, train, rows_per_round, spec.seed)
    early_stopping = TaskEarlyStopping(settings.patience, log)
    callbacks = [WeightAveraging(), *callbacks, early_stopping]
    for callback in callbacks:
        callback.start(run)
    batches, rounds = Batches(train, settings.epochs, settings.batch_size), run.rounds
    checkpoint = (checkpoints or Checkpoints()).of_training(
        [
            networks_trained_with(dataset, spec),
            [task.name for task in tasks],
            len(train),
            str(device),
            is_mixed(device, settings.precision),
            start and start.champion,
        ],
        [network, balancer, run, batches, *optimizers, *callbacks],
        log,
    )
    checkpoint.restore()
    started = time.perf_counter() - run.seconds
    # Not earlier than at an epoch's end: what is distilled from a task's best round is sometimes better than it.
    while not (batches.exhausted or (len(run.frozen) == len(tasks) and batches.epochs_done.is_integer())):
        train_losses = train_on(batches.draw(), run, balancer, optimizers, callbacks, settings)
        validation_losses = validate(run, validation, prepared.constant, callbacks)
        by_task = {
            "train_loss": np.where(prepared.comparable, train_losses, np.nan),
            "validation_loss": validation_losses,
            "weight": balancer.weights().detach().cpu().numpy(),
        }
        rounds.append(round_log(batches.epochs_done, validation_losses / prepared.constant, tasks, by_task))
        run.seconds = time.perf_counter() - started
        log(describe_round(rounds[-1], tasks, settings.epochs, len(train), run.seconds))
        for callback in callbacks:
            callback.after_round(rounds[-1])
        balancer.after_round(torch.from_numpy(train_losses).to(device), run.frozen)
        checkpoint.save()
    checkpoint.save(last=True)
    log(why_stopped(rounds[-1], settings.epochs))
    network.load_state_dict(early_stopping.best_weights[MEAN])
    network.representation.forget_rounded()
    ranker = Ranker([Member.of(network, tasks)], list(tasks), prepared.scale)
    best = rounds[early_stopping.best_round[MEAN]]
    return Fit(ranker, prepared.shape, rounds, best, len(train), run.seconds)


@dataclass
class Prepared:
    """A network before its first step, and the rows for it."""

    network: MultiTaskNetwork
    shape: NetworkShape
    scale: LabelScale
    train: TrainingRows
    validation: TrainingRows
    constant: np.ndarray
    """float [tasks]: validation losses of constant answers."""
    comparable: np.ndarray
    """bool [tasks]: whether a task trains on what it is validated on (see `Architecture.training_labels`)."""


def prepare(dataset: Dataset, spec: PipelineSpec, tasks: Sequence[Task], start: WarmStart | None) -> Prepared:
    columns, scale = label_columns(dataset, tasks), scale_of(dataset, tasks)
    train = labelled_rows(dataset.train, columns, scale).to(dataset.device)
    validation = labelled_rows(dataset.validation, columns, scale).to(dataset.device)
    shape = network_shape(dataset, spec, tasks)
    network = MultiTaskNetwork(spec.model, shape, dataset.text.tensors).to(dataset.device)
    network.representation.fit(train)
    start_at_base_rates(network, train.labels, tasks)
    if start:
        start.into(network, scale)
    constant = constant_losses(train.labels, validation.labels, tasks)
    labels = network.architecture.training_labels(train.labels, tasks)
    comparable = labels.nan_to_num(torch.inf).eq(train.labels.nan_to_num(torch.inf)).all(0).cpu().numpy()
    return Prepared(network, shape, scale, train.labelled(labels), validation, constant, comparable)


def label_columns(dataset: Dataset, tasks: Sequence[Task]) -> list[int]:
    return [dataset.encoder.tasks.index(task.name) for task in tasks]


def scale_of(dataset: Dataset, tasks: Sequence[Task]) -> LabelScale:
    return label_scale(dataset.scaling_labels[:, label_columns(dataset, tasks)], tasks)


def network_shape(dataset: Dataset, spec: PipelineSpec, tasks: Sequence[Task]) -> NetworkShape:
    inputs = NetworkShape(
        ids={name: len(dataset.encoder.vocabulary.get(name, ())) for name in spec.ids},
        fields=tuple(dataset.encoder.fields),
        numerics=len(dataset.encoder.numeric_names),
        outputs=(),
        sequence=SequenceShape.of(spec),
        sides=dataset.encoder.sides,
    )
    return inputs.of_tasks(tasks)


def fit_members(
    dataset: Dataset,
    spec: PipelineSpec,
    tasks: Sequence[Task],
    log: Log,
    callbacks: Sequence[Callback] = (),
    checkpoints: Checkpoints | None = None,
    starts: Iterable[WarmStart] = (),
) -> Fit:
    """As `fit_network`, but `training.members` networks, with seeds that no other seed of the pipeline leads to; the
    callbacks follow the first one, of which are log, best round and seconds. Each has the next one of `starts`, as
    long as there are some."""
    start = iter(starts)
    first, *others = (spec.seed * spec.training.members + number for number in range(spec.training.members))
    seeded = spec.model_copy(update={"seed": first})
    fit = fit_network(dataset, seeded, tasks, log, callbacks, checkpoints, next(start, None))
    for seed in others:
        seeded = spec.model_copy(update={"seed": seed})
        another = fit_network(dataset, seeded, tasks, log, (), checkpoints, next(start, None))
        fit.ranker.members += another.ranker.members
    return fit


def train_on(
    batches: Iterable[tuple[Tensor, Rows]],
    run: Run,
    balancer: Balancer,
    optimizers: Sequence[torch.optim.Optimizer],
    callbacks: Sequence[Callback],
    settings: Training,
) -> np.ndarray:
    """Take a step on each batch. Returns the mean task losses: float [tasks]. May raise Diverged."""
    run.network.train()
    precision = mixed_precision(balancer.declared.device, settings.precision)
    total = torch.zeros(len(run.tasks), device=balancer.declared.device)
    steps = 0
    for rows, batch in batches:
        with precision:
            read = run.network.read(batch)
            trunk = run.network.architecture.trunk(read)
            outputs = run.network.outputs_from(trunk, read)
        losses = training_losses(run.network, outputs, batch.labels, run.tasks)
        total += losses.detach()
        if not (losses.is_cuda or losses.isfinite().all()):  # a GPU would have to be waited for
            raise Diverged(what_diverged(losses, batch, run))
        for callback in callbacks:
            losses = callback.before_backward(losses, outputs, rows)
        for optimizer in optimizers:
            optimizer.zero_grad()
        balancer.backward(losses, learned(trunk))
        if settings.clip_gradients is not None:
            nn.utils.clip_grad_norm_(
                optimizers[0].param_groups[0]["params"], settings.clip_gradients
            )  # not of the id tables
        for optimizer in optimizers:
            optimizer.step()
        for callback in callbacks:
            callback.after_step()
        steps += 1
    return (total / max(1, steps)).cpu().numpy()


def validate(
    run: Run, validation: TrainingRows, constant: np.ndarray, callbacks: Sequence[Callback]
) -> np.ndarray:
    """Mean validation loss of each task: float [tasks], 0 where no label is observed. May raise Diverged."""
    with ExitStack() as stack:
        for callback in callbacks:
            stack.enter_context(callback.validating())
        run.network.eval()
        sums, counts = torch.zeros(len(run.tasks)), torch.zeros(len(run.tasks))
        with torch.inference_mode():
            for rows in validation.batches(ROWS_AT_ONCE):
                loss, count = loss_sums(run.network(rows), rows.labels, run.tasks)
                sums, counts = sums + loss.cpu(), counts + count.cpu()
        losses = (sums / counts.clamp(min=1)).numpy()
        if diverged := [
            task.name for task, loss in zip(run.tasks, losses, strict=True) if not np.isfinite(loss)
        ]:
            raise Diverged(
                f"training of {', '.join(diverged)} diverged: its validation loss is not finite. {REMEDY}"
            )
        for callback in callbacks:
            callback.after_validation(losses / constant)
    return losses


def round_log(
    epoch: float, relative: np.ndarray, tasks: Sequence[Task], by_task: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Without what is NaN."""
    named = {
        f"{name}/{task.name}": float(value)
        for name, values in by_task.items()
        for task, value in zip(tasks, values, strict=True)
        if not np.isnan(value)
    }
    return {"epoch": epoch, "score": float(relative.mean()), **named}


def why_stopped(last: dict[str, float], epochs: int) -> str:
    """`last`: the log's last entry."""
    learning = [
        name.partition("/")[2] for name, value in last.items() if name.startswith("frozen/") and not value
    ]
    if not learning:
        return "no task improves any more"
    return f"training.epochs ({epochs}) ran out before {', '.join(learning)} stopped improving: raise it"


def describe_round(
    entry: dict[str, float], tasks: Sequence[Task], epochs: int, rows: int, seconds: float
) -> str:
    """`epochs` at most, of so many `rows`."""
    epoch = entry["epoch"]
    left = time_left(epoch, epochs, seconds, at_most=True)
    losses = ", ".join(f"{task.name} {entry[f'validation_loss/{task.name}']:.4f}" for task in tasks)
    return (
        f"epoch {epoch:.1f} of at most {epochs}, {seconds:.0f} s, {rows * epoch / seconds:,.0f} rows/s{left}: "
        f"validation loss {losses}; score {entry['score']:.4f}"
    )
