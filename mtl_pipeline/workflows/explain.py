"""What explains the newest model: importance of features, use of experts, and its largest errors."""

from __future__ import annotations

import time

import polars as pl

from mtl_pipeline.evaluation.studies.importance import measure_importance
from mtl_pipeline.evaluation.studies.largest_errors import largest_errors
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.learning.explain.experts import expert_use
from mtl_pipeline.learning.explain.importance import permuted_predictions
from mtl_pipeline.learning.explain.probing import open_probe
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.tables import read_item_texts
from mtl_pipeline.workflows.log import Log


def explain_model(
    paths: PipelinePaths,
    spec: PipelineSpec,
    predictions: pl.DataFrame,
    slices: pl.DataFrame,
    measured: Evaluation,
    log: Log,
) -> dict[str, pl.DataFrame]:
    """The published frames `importance`, `experts` and `largest_errors`."""
    started = time.perf_counter()
    probe = open_probe(paths, spec, paths.model)
    errors = largest_errors(predictions, spec.tasks, slices, candidate=measured.candidate)
    frames = {
        "importance": measure_importance(permuted_predictions(probe), spec.tasks),
        "experts": expert_use(probe),
        "largest_errors": with_texts(paths, spec, errors),
    }
    log(f"inside the model: {time.perf_counter() - started:.1f} s")
    return frames


def with_texts(paths: PipelinePaths, spec: PipelineSpec, rows: pl.DataFrame) -> pl.DataFrame:
    """The column `item_text` beside, where there are items."""
    if "item_id" not in rows.columns:
        return rows
    texts = read_item_texts(paths, spec, rows["item_id"])
    return rows.join(texts, on="item_id", how="left", maintain_order="left")
