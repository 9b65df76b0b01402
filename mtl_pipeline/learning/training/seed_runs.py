"""The networks trained again with further seeds, so that what a seed does by chance is not taken for what a method
does; and, with each seed, the multi-task network without text vectors.

multi_task     one network for all tasks, as the model
single_task    a network of the same size for each task alone, as among the baselines
without_text   as multi_task, on the same features but no text vectors; where the pipeline has text

A seed decides the first weights, the order of the rows and which ids are hidden. Examples stay as they are, sampled
negatives too. Of the other baselines constant, popularity, linear and boosted_trees have no seed (beyond
baselines.FITTED_ROWS rows it draws those that they are fitted on, which is not repeated here).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
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
    """All that are compared; the first is the pipeline's own, whose networks `model` and `baselines` hold."""
    made_from: dict[str, str]
    """Fingerprints of what belongs to these seed runs, by name: the model, the examples and so on."""
    rows: int
    networks: int
    """Trained here; one for one task alone counts too."""
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
    """Train what is missing for a comparison over `seeds` seeds, and publish its predictions, calibrated as those of
    every model are, at `target`.

    predictions.parquet: model, seed, example_id, and prediction/<task> for each validation and test row. With one
    seed there is nothing to train, and no row. Raises UserError when examples or text vectors are missing, or where
    model or baselines, which have the first seed, were not trained with the settings, examples and text vectors of now.
    """
    ensure_writable(target)
    all_seeds = list(range(spec.seed, spec.seed + seeds))
    dataset = Dataset(paths, spec)
    if seeds > 1:
        refuse_other_training(paths, dataset, spec)
    held_out = HeldOut(dataset, spec)
    seconds: dict[str, float] = {}
    networks = 0
    found = [no_predictions(held_out, spec)]
    for model, seed in planned(spec, all_seeds):
        started = time.perf_counter()
        found.append(predict_one(dataset, held_out, spec, model, seed))
        taken = time.perf_counter() - started
        networks += len(spec.tasks) if model == SINGLE_TASK else 1
        seconds[model] = round(seconds.get(model, 0.0) + taken, 2)
        log(f"{model} with seed {seed}: {taken:.1f} s")
    with publish_folder(target) as folder:
        pl.concat(found).write_parquet(folder / PREDICTIONS)
        with (folder / PREDICTIONS).open("rb") as file:
            fingerprint = hashlib.file_digest(file, "sha256").hexdigest()
        summary = SeedRunsSummary(
            all_seeds, dict(made_from), len(held_out.rows), networks, seconds, fingerprint
        )
        (folder / SUMMARY).write_text(json.dumps(asdict(summary), indent=1) + "\n")
    return summary


def planned(spec: PipelineSpec, seeds: list[int]) -> Iterator[tuple[str, int]]:
    """Model and seed of what is to be trained."""
    for seed in seeds[1:]:
        yield CANDIDATE, seed
        yield SINGLE_TASK, seed
    if spec.text_tables and len(seeds) > 1:
        yield from ((WITHOUT_TEXT, seed) for seed in seeds)


def predict_one(
    dataset: Dataset, held_out: HeldOut, spec: PipelineSpec, model: str, seed: int
) -> pl.DataFrame:
    """Rows of the published predictions."""
    seeded = spec.model_copy(update={"seed": seed})
    seen = dataset.without_text() if model == WITHOUT_TEXT else dataset
    together = [spec.tasks] if model != SINGLE_TASK else [[task] for task in spec.tasks]
    raw: dict[str, np.ndarray] = {}
    for tasks in together:
        raw |= held_out.answers(seen, seeded, tasks)
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
        number = pl.Float64()
        schema[plain_prediction_column(task.name)] = (
            pl.Array(number, len(task.classes)) if task.classes else number
        )
    return pl.DataFrame(schema=schema)


def read_seed_runs(path: Path) -> tuple[SeedRunsSummary, pl.DataFrame]:
    """The summary and the predictions at `path`. Raises UserError where they are not whole."""
    try:
        with reading(path) as folder:
            summary = SeedRunsSummary(**json.loads((folder / SUMMARY).read_text()))
            return summary, pl.read_parquet(folder / PREDICTIONS)
    except (OSError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise UserError(
            f"{path} holds no seed runs that can be read ({error}): materialize seed_runs"
        ) from error
