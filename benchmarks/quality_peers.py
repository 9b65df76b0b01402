"""The peers of quality.py, trained in an environment that holds them and not the project.

    python quality_peers.py FOLDER    # from inputs.npz and fields.json to predictions.npz and chosen.json

Every setting is tried, and the one with the lowest validation loss predicts: the mean over tasks of the loss over that
of a constant answer. Labels of test rows are not in the inputs.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from catboost import CatBoostClassifier, CatBoostRegressor, Pool
from torch_rechub.basic.features import DenseFeature, SequenceFeature, SparseFeature
from torch_rechub.models.multi_task import MMOE, PLE
from torch_rechub.trainers import MTLTrainer

NETWORK_SETTINGS = {"lr": [1e-3, 3e-3], "weight_decay": [1e-5, 1e-3, 1e-2]}
BATCH, ROUNDS_PER_EPOCH, MOST_ROUNDS, PATIENCE = 2048, 2, 24, 3
"""Validation rounds: training stops after so many, or where so many of them bring no lower loss."""
TREE_SETTINGS = {"learning_rate": [0.2], "max_ctr_complexity": [1, 4]}
"""With and without statistics for combinations of ids and categories."""
MOST_TREES, TREE_PATIENCE = 500, 20
EMBEDDING = 16
"""One width for all: torch-rechub joins embeddings of the same width only."""
EXPERT, TOWER = {"dims": [64, 32]}, {"dims": [32]}
NETWORKS: dict[str, Callable[..., torch.nn.Module]] = {
    "torch-rechub MMoE": partial(MMOE, n_expert=4, expert_params=EXPERT),
    "torch-rechub PLE": partial(PLE, n_level=1, n_expert_specific=1, n_expert_shared=4, expert_params=EXPERT),
}
"""As many experts of the same widths as the project's own networks have by default."""

Fit = tuple[float, int, np.ndarray]
"""Validation loss, rounds or trees until it was lowest, and the predictions of the held-out rows from there."""


@dataclass(frozen=True)
class Inputs:
    """Numbers are standardised, and text comes as components; an index of 0 stands for unknown values."""

    ids: np.ndarray
    categorical: np.ndarray
    numeric: np.ndarray
    labels: np.ndarray
    """float32 [rows, tasks], NaN where not observed."""

    @classmethod
    def read(cls, arrays: Any, split: str) -> Inputs:
        return cls(*(arrays[f"{split}/{name}"] for name in ("ids", "categorical", "numeric", "labels")))


@dataclass(frozen=True)
class Data:
    train: Inputs
    held_out: Inputs
    """Validation rows, and test rows without labels."""
    ids: dict[str, int]
    """Sizes of the vocabularies."""
    categorical: list[dict]
    """name, size of the vocabulary, and slots: the columns that it takes."""
    tasks: dict[str, str]
    """binary or regression, by name."""

    @property
    def binary(self) -> np.ndarray:
        return np.array([kind == "binary" for kind in self.tasks.values()])

    def relative_loss(self, place: int, predicted: np.ndarray) -> float:
        """Validation loss of a task, log-loss or squared error, over that of the mean training label."""
        labels = self.held_out.labels[:, place].astype(np.float64)
        mean = np.nanmean(self.train.labels[:, place], dtype=np.float64)
        if not self.binary[place]:
            return float(np.nanmean((labels - predicted) ** 2) / np.nanmean((labels - mean) ** 2))
        theirs, constant = (
            -np.nanmean(np.log(np.where(labels > 0, sure, 1 - sure) + 0 * labels))
            for sure in (np.clip(predicted, 1e-7, 1 - 1e-7), np.full(len(labels), mean))
        )
        return float(theirs / constant)


class Networks:
    """What torch-rechub needs to train on the data."""

    def __init__(self, data: Data) -> None:
        self.data = data
        labels = data.train.labels
        self.mean = np.where(data.binary, 0, np.nanmean(labels, axis=0))
        self.deviation = np.where(data.binary, 1, np.nanstd(labels, axis=0))
        scaled = ((labels - self.mean) / self.deviation).astype(np.float32)
        self.labels = torch.from_numpy(scaled)
        self.train, self.held_out = self.columns(data.train), self.columns(data.held_out)

    def columns(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        columns = dict(zip(self.data.ids, torch.from_numpy(inputs.ids).T.contiguous(), strict=True))
        slots = torch.from_numpy(inputs.categorical).split(
            [field["slots"] for field in self.data.categorical], 1
        )
        for field, values in zip(self.data.categorical, slots, strict=True):
            columns[field["name"]] = values if field["slots"] > 1 else values[:, 0]
        return columns | {"numeric": torch.from_numpy(inputs.numeric)}

    def features(self) -> list:
        """New ones for each network: they hold its embeddings."""
        ids = [SparseFeature(name, size + 1, EMBEDDING) for name, size in self.data.ids.items()]
        categorical = [
            SequenceFeature(field["name"], field["size"] + 1, EMBEDDING, padding_idx=0)
            if field["slots"] > 1
            else SparseFeature(field["name"], field["size"] + 1, EMBEDDING)
            for field in self.data.categorical
        ]
        return [*ids, *categorical, DenseFeature("numeric", self.data.train.numeric.shape[1])]

    def batches(self) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
        """Without end, each epoch in a new random order."""
        while True:
            for rows in torch.randperm(len(self.labels)).split(BATCH):
                yield {name: values[rows] for name, values in self.train.items()}, self.labels[rows]

    def predict(self, network: torch.nn.Module) -> np.ndarray:
        """[held-out rows, tasks]."""
        network.eval()
        with torch.inference_mode():
            parts = [
                network({name: values[start : start + BATCH] for name, values in self.held_out.items()})
                for start in range(0, len(self.data.held_out.labels), BATCH)
            ]
        return torch.cat(parts).numpy() * self.deviation + self.mean

    def fit(self, make: Callable[..., torch.nn.Module], **optimizer: float) -> Fit:
        torch.manual_seed(0)
        types = ["classification" if binary else "regression" for binary in self.data.binary]
        network = make(self.features(), types, tower_params_list=[TOWER] * len(types))
        trainer = MTLTrainer(network, types, optimizer_params=optimizer)
        trainer.loss_fns = [over_observed(loss) for loss in trainer.loss_fns]
        best: Fit = (np.inf, 0, np.empty(0))
        batches = self.batches()
        steps = max(1, len(self.labels) // BATCH // ROUNDS_PER_EPOCH)
        for number in range(1, MOST_ROUNDS + 1):
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                trainer.train_one_epoch(itertools.islice(batches, steps))
            predicted = self.predict(network)
            loss = float(np.mean([self.data.relative_loss(*task) for task in enumerate(predicted.T)]))
            if loss < best[0]:
                best = loss, number, predicted
            if number - best[1] >= PATIENCE:
                break
        return best


def over_observed(loss: Callable) -> Callable:
    """torch-rechub takes every label for observed: here the loss is the mean over those that are."""

    def masked(predicted: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        observed = ~labels.isnan()
        return loss(predicted[observed], labels[observed]) if observed.any() else predicted.sum() * 0

    return masked


class Trees:
    """CatBoost, one model for each task, with ids and categories as its categorical features."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.train, self.held_out = self.table(data.train), self.table(data.held_out)
        self.categories = [name for name in self.train if self.train[name].dtype.kind == "i"]

    def table(self, inputs: Inputs) -> pd.DataFrame:
        parts = {"id": inputs.ids, "category": inputs.categorical, "number": inputs.numeric}
        return pd.concat([pd.DataFrame(part).add_prefix(name) for name, part in parts.items()], axis=1)

    def pool(self, table: pd.DataFrame, labels: np.ndarray) -> Pool:
        observed = ~np.isnan(labels)
        return Pool(table[observed], labels[observed], cat_features=self.categories)

    def fit(self, place: int, **settings: float) -> Fit:
        """For the task at this place."""
        binary = self.data.binary[place]
        trees = (CatBoostClassifier if binary else CatBoostRegressor)(
            iterations=MOST_TREES,
            early_stopping_rounds=TREE_PATIENCE,
            thread_count=torch.get_num_threads(),
            random_seed=0,
            allow_writing_files=False,
            verbose=False,
            **settings,
        )
        trees.fit(
            self.pool(self.train, self.data.train.labels[:, place]),
            eval_set=self.pool(self.held_out, self.data.held_out.labels[:, place]),
        )
        pool = Pool(self.held_out, cat_features=self.categories)
        predicted = trees.predict_proba(pool)[:, 1] if binary else trees.predict(pool)
        return self.data.relative_loss(place, predicted), trees.tree_count_, predicted


def best_of(name: str, fit: Callable[..., Fit], grid: dict[str, list], unit: str) -> tuple[np.ndarray, str]:
    """The predictions of the settings with the lowest validation loss, and which those are."""
    tried = []
    for values in itertools.product(*grid.values()):
        settings = dict(zip(grid, values, strict=True))
        started = time.perf_counter()
        loss, length, predicted = fit(**settings)
        described = ", ".join(f"{key} {value:g}" for key, value in (settings | {unit: length}).items())
        print(f"{name}: {described}: {loss:.4f}, {time.perf_counter() - started:.0f} s", flush=True)
        tried.append((loss, described, predicted))
    _, described, predicted = min(tried, key=lambda found: found[0])
    return predicted, described


def main(folder: Path) -> None:
    arrays = np.load(folder / "inputs.npz")
    fields = json.loads((folder / "fields.json").read_text())
    data = Data(Inputs.read(arrays, "train"), Inputs.read(arrays, "held_out"), **fields)
    predictions, chosen = {}, {}
    networks, trees = Networks(data), Trees(data)
    for name, make in NETWORKS.items():
        predicted, chosen[name] = best_of(name, partial(networks.fit, make), NETWORK_SETTINGS, "rounds")
        predictions |= {f"{name}/{task}": predicted[:, place] for place, task in enumerate(data.tasks)}
    for place, task in enumerate(data.tasks):
        name = f"CatBoost/{task}"
        predictions[name], chosen[name] = best_of(name, partial(trees.fit, place), TREE_SETTINGS, "trees")
    np.savez(folder / "predictions.npz", **predictions)
    (folder / "chosen.json").write_text(json.dumps(chosen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
