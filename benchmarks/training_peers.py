"""torch-rechub's part of training.py, in an environment that holds it and not the project.

python training_peers.py ROWS.npz USERS    # prints rows/s of the second epoch and the loss after the first as JSON
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch_rechub.basic.features import DenseFeature, SparseFeature
from torch_rechub.models.multi_task import MMOE
from torch_rechub.trainers import MTLTrainer
from torch_rechub.utils.data import DataGenerator

BATCH, VALIDATION = 4096, 32_768
EXPERT, TOWER, ID = {"dims": [128, 64]}, {"dims": [32]}, 16


def main() -> None:
    data, users = dict(np.load(sys.argv[1])), int(sys.argv[2])
    torch.manual_seed(0)
    texts, labels = data["text"], data["labels"]
    columns = {
        "user": data["user"],
        "item": data["item"],
        "numbers": data["numbers"],
        "text": texts[data["item"]],
    }
    features = [
        SparseFeature("user", users, ID),
        SparseFeature("item", len(texts), ID),
        DenseFeature("numbers", data["numbers"].shape[1]),
        DenseFeature("text", texts.shape[1]),
    ]
    tasks = ["classification"] * labels.shape[1]
    model = MMOE(features, tasks, 4, EXPERT, [TOWER] * len(tasks))
    train = slice(0, len(labels) - VALIDATION)
    held_out = {name: values[len(labels) - VALIDATION :] for name, values in columns.items()}
    of_validation = labels[len(labels) - VALIDATION :]
    generator = DataGenerator({name: values[train] for name, values in columns.items()}, labels[train])
    batches, _, _ = generator.generate_dataloader(
        x_val=held_out, y_val=of_validation, x_test=held_out, y_test=of_validation, batch_size=BATCH
    )
    with TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        trainer = MTLTrainer(model, tasks, model_path=folder)
        trainer.train_one_epoch(batches)
        loss = validation_loss(model, held_out, of_validation)
        started = time.perf_counter()
        trainer.train_one_epoch(batches)
        seconds = time.perf_counter() - started
    print(json.dumps({"rows_per_second": (len(labels) - VALIDATION) / seconds, "loss": loss}))


def validation_loss(model: torch.nn.Module, columns: dict[str, np.ndarray], labels: np.ndarray) -> float:
    model.eval()
    with torch.no_grad():
        predicted = model({name: torch.from_numpy(values) for name, values in columns.items()})
    return float(torch.nn.functional.binary_cross_entropy(predicted, torch.from_numpy(labels)))


if __name__ == "__main__":
    main()
