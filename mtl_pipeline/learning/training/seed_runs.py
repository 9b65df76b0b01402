"""The networks trained again with further seeds, so that luck of the seed is not mistaken for merit of a method; and,
with each seed, the multi-task network without text vectors.

multi_task     one network for all tasks, as the model
single_task    a network of the same size for each task alone, as among the baselines
without_text   as multi_task, on the same features but without text vectors; where the pipeline has text

A seed decides the initial weights, the order of the rows and which ids are hidden. Examples stay as they are, sampled
negatives included; the other baselines do not depend on it (except for which FITTED_ROWS of many rows they are fitted
on, which is not repeated here).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.training.calibrator import calibrate
from mtl_pipeline.learning.training.held_out import HeldOut
from mtl_pipeline.learning.training.loop import Log
from mtl_pipeline.learning.training.provenance import refuse_other_training
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.predictions import CANDIDATE, SINGLE_TASK, WITHOUT_TEXT, plain_prediction_column
from mtl_pipeline.publishing import ensure_writable, publish_folder, reading
from mtl_pipeline.spec import PipelineSpec

PREDICTIONS, SUMMARY = "predictions.parquet", "summary.json"


@dataclass(frozen=True)
class SeedRunsSummary:
    seeds: list[int]
    """All that are compared; the first is the pipeline's own, whose networks are in `model` and `baselines`."""
    made_from: dict[str, str]
    """Fingerprints, by name, of what these seed runs belong to: the model, the baselines and so on."""
    rows: int
    networks: int
    """Trained here, including those for one task alone."""
    seconds: dict[str, float]
    """By model."""
    fingerprint: str


def train_seeds(
    paths: PipelinePaths,
    spec: PipelineSpec,
    *,
    seeds: int,
    made_from: Mapping[str, str],
    target: Path,
    log: Log = print,
) -> SeedRunsSummary:
    """Train what a comparison over `seeds` seeds lacks, and publish its calibrated predictions at `target`.

    predictions.parquet: model, seed, example_id, and prediction/<task> for each validation and test row; with one
    seed there is nothing to train, and no row. Raises UserError when examples or text vectors are missing, or when
    model or baselines, which have the first seed, were trained with other settings, examples or text vectors.
    """
    ensure_writable(target)
    all_seeds = list(range(spec.seed, spec.seed + seeds))
    dataset = Dataset(paths, spec)
    if seeds > 1:
        refuse_other_training(paths, dataset, spec)
    held_out = HeldOut(dataset, spec)
    jobs = [(model, seed) for seed in all_seeds[1:] for model in (CANDIDATE, SINGLE_TASK)]
    if spec.text_tables and seeds > 1:
        jobs += [(WITHOUT_TEXT, seed) for seed in all_seeds]
    seconds: dict[str, float] = {}
    predictions = [no_predictions(held_out, spec)]
    for model, seed in jobs:
        started = time.perf_counter()
        predictions.append(predict_one(dataset, held_out, spec, model, seed))
        taken = time.perf_counter() - started
        seconds[model] = round(seconds.get(model, 0.0) + taken, 2)
        log(f"{model} with seed {seed}: {taken:.1f} s")
    networks = sum(len(spec.tasks) if model == SINGLE_TASK else 1 for model, _ in jobs)
    with publish_folder(target) as folder:
        pl.concat(predictions).write_parquet(folder / PREDICTIONS)
        with (folder / PREDICTIONS).open("rb") as file:
            fingerprint = hashlib.file_digest(file, "sha256").hexdigest()
        rows = len(held_out.rows)
        summary = SeedRunsSummary(all_seeds, dict(made_from), rows, networks, seconds, fingerprint)
        (folder / SUMMARY).write_text(json.dumps(asdict(summary), indent=1) + "\n")
    return summary


def predict_one(
    dataset: Dataset, held_out: HeldOut, spec: PipelineSpec, model: str, seed: int
) -> pl.DataFrame:
    """Rows of the published predictions."""
    seeded = spec.model_copy(update={"seed": seed})
    inputs = dataset.without_text() if model == WITHOUT_TEXT else dataset
    raw: dict[str, np.ndarray] = {}
    for tasks in [[task] for task in spec.tasks] if model == SINGLE_TASK else [spec.tasks]:
        raw |= held_out.answers(inputs, seeded, tasks)
    calibrated = calibrate(raw, held_out.calibration(raw))
    return held_out.frame.select(
        pl.lit(model).alias("model"), pl.lit(seed, pl.Int64).alias("seed"), "example_id"
    ).with_columns(
        pl.Series(plain_prediction_column(task), values.astype(np.float64))
        for task, values in calibrated.items()
    )


def no_predictions(held_out: HeldOut, spec: PipelineSpec) -> pl.DataFrame:
    schema = {"model": pl.String(), "seed": pl.Int64(), "example_id": held_out.frame.schema["example_id"]}
    for task in spec.tasks:
        kind = pl.Array(pl.Float64, len(task.classes)) if task.classes else pl.Float64()
        schema[plain_prediction_column(task.name)] = kind
    return pl.DataFrame(schema=schema)


def read_seed_runs(path: Path) -> tuple[SeedRunsSummary, pl.DataFrame]:
    """The summary and the predictions at `path`. Raises UserError when they cannot be read."""
    try:
        with reading(path) as folder:
            summary = SeedRunsSummary(**json.loads((folder / SUMMARY).read_text()))
            return summary, pl.read_parquet(folder / PREDICTIONS)
    except (OSError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise UserError(
            f"{path} holds no seed runs that can be read ({error}): materialize seed_runs"
        ) from error
