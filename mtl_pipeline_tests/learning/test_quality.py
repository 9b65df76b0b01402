"""What benchmarks/quality.py hands to the peers, and what it makes of their predictions."""

from __future__ import annotations

import numpy as np
import polars as pl

from benchmarks.quality import peers_inputs, table, with_peers
from mtl_pipeline.evaluation.studies.scoring import evaluate
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.training.held_out import HeldOut
from mtl_pipeline_tests.conftest import TinyPipeline


def test_peers_get_every_training_row_and_no_label_of_a_test_row(prepared: TinyPipeline) -> None:
    dataset = Dataset(prepared.paths, prepared.spec)
    held_out = HeldOut(dataset, prepared.spec)
    arrays, fields = peers_inputs(dataset, prepared.spec, prepared.spec.tasks, held_out)
    labels = arrays["held_out/labels"]
    assert not held_out.validation.all()
    assert np.isnan(labels[~held_out.validation]).all()
    assert np.array_equal(labels[held_out.validation], dataset.validation.labels.numpy(), equal_nan=True)
    assert np.array_equal(arrays["train/labels"], dataset.train.labels.numpy(), equal_nan=True)
    widths = {split: arrays[f"{split}/numeric"].shape[1] for split in ("train", "held_out")}
    assert widths["train"] == widths["held_out"] > dataset.validation.numeric.shape[1], (
        "components of the texts"
    )
    assert sum(field["slots"] for field in fields["categorical"]) == arrays["train/categorical"].shape[1]


def test_a_peer_that_predicts_the_same_does_not_differ(prepared: TinyPipeline) -> None:
    """It is calibrated as the model is, on the same rows, and compared on the same ones."""
    dataset = Dataset(prepared.paths, prepared.spec)
    held_out = HeldOut(dataset, prepared.spec)
    (task,) = (task for task in prepared.spec.tasks if task.kind == "binary" and not task.given)
    noise = np.random.default_rng(0).uniform(0.1, 0.9, len(held_out.frame))
    labels = held_out.frame.select(
        "example_id", "user_id", "split", pl.col(task.name).alias(f"label/{task.name}")
    )
    frame = with_peers(labels, {f"multi_task/{task.name}": noise, f"copy/{task.name}": noise}, held_out)
    measured = evaluate(frame, [task], bootstrap_samples=50)
    assert set(measured.comparisons["difference"]) == {0.0}
    ours, copy = table(measured, task).splitlines()[2:]
    assert ours.startswith("| **multi_task** | 0.")
    assert copy.startswith("| copy | 0.")
    assert copy.endswith("no difference shown |")
