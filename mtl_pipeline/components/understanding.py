"""What explains the newest model: importance of features, use of experts, and its largest errors."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import polars as pl

from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.warehouse.texts import read_item_texts

if TYPE_CHECKING:
    from mtl_pipeline.evaluation.studies.scoring import Evaluation


def understand_model(
    pipeline: PipelineContext,
    predictions: pl.DataFrame,
    slices: pl.DataFrame,
    measured: "Evaluation",
    log: Callable[[str], None] = print,
) -> dict[str, pl.DataFrame]:
    """The published frames `importance`, `experts` and `largest_errors`."""
    from mtl_pipeline.evaluation.studies.importance import measure_importance
    from mtl_pipeline.evaluation.studies.largest_errors import largest_errors
    from mtl_pipeline.learning.explain.experts import expert_use
    from mtl_pipeline.learning.explain.importance import permuted_predictions
    from mtl_pipeline.learning.explain.probing import open_probe

    spec, started = pipeline.spec, time.perf_counter()
    probe = open_probe(pipeline.paths, spec, pipeline.paths.model)
    frames = {
        "importance": measure_importance(permuted_predictions(probe), spec.tasks),
        "experts": expert_use(probe),
        "largest_errors": with_texts(
            pipeline, largest_errors(predictions, spec.tasks, slices, candidate=measured.candidate)
        ),
    }
    log(f"inside the model: {time.perf_counter() - started:.1f} s")
    return frames


def with_texts(pipeline: PipelineContext, rows: pl.DataFrame) -> pl.DataFrame:
    """The column `item_text` beside, where there are items."""
    if "item_id" not in rows.columns:
        return rows
    texts = read_item_texts(pipeline.paths, pipeline.spec, rows["item_id"])
    return rows.join(texts, on="item_id", how="left", maintain_order="left")
