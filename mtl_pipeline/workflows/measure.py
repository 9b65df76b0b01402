"""What the evaluation publishes beside the metrics, as frames: the test rows in parts, over seeds, and explained."""

from __future__ import annotations

import time

import polars as pl

from mtl_pipeline.evaluation.studies.frames import published
from mtl_pipeline.evaluation.studies.inside.importance import measure_importance
from mtl_pipeline.evaluation.studies.inside.largest_errors import largest_errors
from mtl_pipeline.evaluation.studies.inside.slice_scores import measure_slices
from mtl_pipeline.evaluation.studies.inside.slices import cold_of, item_interactions, slices_of
from mtl_pipeline.evaluation.studies.inside.text_effect import TEXT, measure_text
from mtl_pipeline.evaluation.studies.lists.people import lists_of_people
from mtl_pipeline.evaluation.studies.lists.ranked_lists import measure_ranking
from mtl_pipeline.evaluation.studies.runs.guard import GUARD, measure_guard
from mtl_pipeline.evaluation.studies.runs.seeds import SEEDS, compare_over_seeds, measure_seeds
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.learning.explain.experts import expert_use
from mtl_pipeline.learning.explain.importance import permuted_predictions
from mtl_pipeline.learning.explain.probing import open_probe
from mtl_pipeline.learning.training.guard import joint_predictions, read_guard
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.predictions import JOINT
from mtl_pipeline.publishing import reading
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.tables import read_item_texts
from mtl_pipeline.workflows.log import Log
from mtl_pipeline.workflows.seed_runs import usable_seed_runs
from mtl_pipeline.workflows.text_neighbours import show_text_vectors


def measure_parts(
    paths: PipelinePaths, spec: PipelineSpec, predictions: pl.DataFrame, measured: Evaluation, log: Log
) -> dict[str, pl.DataFrame]:
    """The published frames `guard`: what it chose, and what came of it; `slices`, `ranking` and `people`: scores on
    parts of the test rows and on each user's list, and the lists of a few users; `importance`, `experts` and
    `largest_errors`, which explain the model; and where items have text `text_neighbours` and `text_map`."""
    samples, candidate = spec.evaluation.bootstrap_samples, measured.candidate
    with reading(paths.examples) as folder:
        examples = pl.scan_parquet(folder / "examples.parquet")
        slices = slices_of(examples, spec)
        people = lists_of_people(predictions, examples, spec.tasks, candidate=candidate, seed=spec.seed)
        train = examples.filter(pl.col("split") == "train")
        interactions = item_interactions(train, spec) if "item_id" in spec.ids else None
    frames = {
        "guard": guard_frame(paths, spec, predictions),
        "slices": measure_slices(predictions, slices, measured),
        "ranking": measure_ranking(
            predictions, spec.tasks, candidate=candidate, bootstrap_samples=samples, seed=spec.seed
        ),
        "people": with_texts(paths, spec, people),
    }
    started = time.perf_counter()
    probe = open_probe(paths, spec, paths.model)
    errors = largest_errors(predictions, spec.tasks, slices, candidate=candidate)
    frames |= {
        "importance": measure_importance(permuted_predictions(probe), spec.tasks),
        "experts": expert_use(probe),
        "largest_errors": with_texts(paths, spec, errors),
    }
    log(f"inside the model: {time.perf_counter() - started:.1f} s")
    return frames | show_text_vectors(paths, spec, interactions)


def guard_frame(paths: PipelinePaths, spec: PipelineSpec, predictions: pl.DataFrame) -> pl.DataFrame:
    """Empty where the model has no guard."""
    judged = read_guard(paths.model)
    if judged is None:
        return published(GUARD)
    samples = spec.evaluation.bootstrap_samples
    if not (judged["predicted_by"] == JOINT).all():
        joint = joint_predictions(paths, spec, paths.model)
        predictions = predictions.join(joint, on="example_id", how="left", maintain_order="left")
    return measure_guard(predictions, judged, spec.tasks, bootstrap_samples=samples, seed=spec.seed)


def measure_over_seeds(
    paths: PipelinePaths, spec: PipelineSpec, predictions: pl.DataFrame, measured: Evaluation
) -> tuple[Evaluation, dict[str, pl.DataFrame], str]:
    """The evaluation with comparisons over all seeds that there are, the published frames `seeds` and `text`, and why
    seed runs were left out, if they were."""
    seed_runs, left_out = usable_seed_runs(paths, spec, predictions)
    if seed_runs is None:
        empty = {"seeds": published(SEEDS), "text": published(TEXT)}
        return measured, empty, left_out
    with reading(paths.examples) as folder:
        cold = cold_of(pl.scan_parquet(folder / "examples.parquet"), spec)
    frames = {"seeds": measure_seeds(measured, seed_runs), "text": measure_text(measured, seed_runs, cold)}
    return compare_over_seeds(measured, seed_runs), frames, left_out


def with_texts(paths: PipelinePaths, spec: PipelineSpec, rows: pl.DataFrame) -> pl.DataFrame:
    """With a column `item_text`, where there are items."""
    if "item_id" not in rows.columns:
        return rows
    texts = read_item_texts(paths, spec, rows["item_id"])
    return rows.join(texts, on="item_id", how="left", maintain_order="left")
