"""The networks trained again with further seeds, so that luck of the seed is not mistaken for merit of a method; and,
with each seed, the multi-task network without text vectors.

multi_task     one network for all tasks, guarded as the model is
single_task    a network of the same size for each task alone, as among the baselines
without_text   as multi_task, each task predicted by networks of the same kinds, on the same features but without text
               vectors; where the pipeline has text

A seed decides the initial weights, the order of the rows and which ids are hidden. Examples stay as they are, sampled
negatives included; the other baselines do not depend on it (except for which FITTED_ROWS of many rows they are fitted
on, which is not repeated here).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.calibration.calibrator import calibrate
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.ranker.members import composed
from mtl_pipeline.learning.ranker.provenance import refuse_other_training
from mtl_pipeline.learning.ranker.ranker import Ranker
from mtl_pipeline.learning.training.at_once.side_by_side import SideBySide, Wanted
from mtl_pipeline.learning.training.continuing.checkpoint import Checkpoints
from mtl_pipeline.learning.training.guard import Judge, choices, guarded, members_of, read_guard
from mtl_pipeline.learning.training.held_out import HeldOut
from mtl_pipeline.learning.training.loop import Log
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.predictions import CANDIDATE, JOINT, SINGLE_TASK, WITHOUT_TEXT, plain_prediction_column
from mtl_pipeline.progress import time_left
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
    """By model; of networks that were trained beside others, those of waiting for them."""
    fingerprint: str


def train_seeds(
    paths: PipelinePaths,
    spec: PipelineSpec,
    *,
    seeds: int,
    made_from: Mapping[str, str],
    target: Path,
    judge: Judge | None = None,
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
    seconds: dict[str, float] = {}
    begun, checkpoints = time.perf_counter(), Checkpoints.of(paths, target)
    predictions, networks = [no_predictions(held_out, spec)], 0
    compared = all_seeds if seeds > 1 else []
    predicted_by = choices(read_guard(paths.model)) if compared else {}
    wanted = [
        one for seed in compared for model in models_of(spec, seed) for one in wanted_for(model, spec, seed)
    ]
    if spec.text_tables:  # of further seeds, what the guard chooses is known when it has
        wanted += [Wanted(task, spec.seed, blind=True) for task in guarded_tasks(spec, predicted_by)]
    with SideBySide(dataset, spec, wanted, checkpoints=checkpoints) as side_by_side:
        for seed in compared:
            trained = SeedNetworks(dataset, held_out, spec, seed, judge, side_by_side)
            if seed == spec.seed:
                trained.predicted_by = predicted_by
            for model in models_of(spec, seed):
                started = time.perf_counter()
                predictions.append(trained.predict(model))
                taken = time.perf_counter() - started
                seconds[model] = round(seconds.get(model, 0.0) + taken, 2)
                done, total = len(predictions) - 1, sum(len(models_of(spec, one)) for one in all_seeds)
                left = time_left(done, total, time.perf_counter() - begun)
                log(f"{model} with seed {seed}: {taken:.1f} s; {done} of {total}{left}")
            networks += trained.networks
    with publish_folder(target) as folder:
        pl.concat(predictions).write_parquet(folder / PREDICTIONS)
        with (folder / PREDICTIONS).open("rb") as file:
            fingerprint = hashlib.file_digest(file, "sha256").hexdigest()
        rows = len(held_out.rows)
        summary = SeedRunsSummary(all_seeds, dict(made_from), rows, networks, seconds, fingerprint)
        (folder / SUMMARY).write_text(json.dumps(asdict(summary), indent=1) + "\n")
    checkpoints.remove()
    return summary


def models_of(spec: PipelineSpec, seed: int) -> list[str]:
    """What is made with a seed, in this order; with the pipeline's own, most is there already."""
    alone = [SINGLE_TASK] if SINGLE_TASK in spec.baselines.models else []
    further = [*alone, CANDIDATE] if seed != spec.seed else []
    return [*further, *([WITHOUT_TEXT] if spec.text_tables else [])]


def wanted_for(model: str, spec: PipelineSpec, seed: int) -> list[Wanted]:
    """The networks that it needs for certain; the guard may have it need more."""
    if model == SINGLE_TASK:
        return [Wanted(task.name, seed) for task in spec.tasks]
    return [Wanted(None, seed, blind=model == WITHOUT_TEXT)]


def guarded_tasks(spec: PipelineSpec, predicted_by: Mapping[str, str]) -> list[str]:
    """Those that are not left to the network for all tasks alone."""
    return [task.name for task in spec.tasks if predicted_by.get(task.name, JOINT) != JOINT]


class SeedNetworks:
    """The networks of one seed."""

    def __init__(
        self,
        dataset: Dataset,
        held_out: HeldOut,
        spec: PipelineSpec,
        seed: int,
        judge: Judge | None = None,
        side_by_side: SideBySide | None = None,
    ) -> None:
        self.dataset, self.held_out, self.seed, self.judge = dataset, held_out, seed, judge
        self.side_by_side = side_by_side or SideBySide(dataset, spec)
        self.spec = spec.model_copy(update={"seed": seed})
        self.networks = 0
        """How many were trained."""
        self.predicted_by: dict[str, str] = {}
        """What the guard chose for each task, once CANDIDATE was asked for."""

    def predict(self, model: str) -> pl.DataFrame:
        """Rows of the published predictions. Ask for WITHOUT_TEXT last: it is made as CANDIDATE was."""
        raw: dict[str, np.ndarray] = {}
        rows = HeldOut(self.blind, self.spec).rows if model == WITHOUT_TEXT else self.held_out.rows
        for ranker in self.rankers(model):
            raw |= ranker.predict_uncalibrated(rows)
        calibrated = calibrate(raw, self.held_out.calibration(raw))
        return self.held_out.frame.select(
            pl.lit(model).alias("model"), pl.lit(self.seed, pl.Int64).alias("seed"), "example_id"
        ).with_columns(
            pl.Series(plain_prediction_column(task), values.astype(np.float64))
            for task, values in calibrated.items()
        )

    def rankers(self, model: str) -> list[Ranker]:
        """One for all tasks, or one for each."""
        if model == SINGLE_TASK:
            return self.alone
        if model == WITHOUT_TEXT:
            return [self.without_text()]
        [joint] = self.trained(CANDIDATE)
        if self.judge:
            joint, said = guarded(self.dataset, joint, self.alone, self.judge)
            self.predicted_by = choices(said)
        return [joint]

    @cached_property
    def blind(self) -> Dataset:
        return self.dataset.without_text(self.spec)

    @cached_property
    def alone(self) -> list[Ranker]:
        return self.trained(SINGLE_TASK)

    def without_text(self) -> Ranker:
        [joint] = self.trained(WITHOUT_TEXT)
        left = guarded_tasks(self.spec, self.predicted_by)
        if not left:
            return joint
        own = members_of(self.ranker(Wanted(task, self.seed, blind=True)) for task in left)
        return replace(joint, members=composed(joint.members, own, self.predicted_by))

    def trained(self, model: str) -> list[Ranker]:
        return [self.ranker(wanted) for wanted in wanted_for(model, self.spec, self.seed)]

    def ranker(self, wanted: Wanted) -> Ranker:
        ranker = self.side_by_side.ranker(wanted)
        self.networks += len(ranker.members)
        return ranker


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
