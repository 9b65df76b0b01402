"""The wide frame of validation and test rows: labels, and what every model predicts."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from mtl_pipeline.evaluation.studies.ceiling import with_ceiling
from mtl_pipeline.learning.ranker.ranker import predict_examples
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.predictions import PREDICTED
from mtl_pipeline.publishing import reading
from mtl_pipeline.spec import PipelineSpec


def wide_predictions(
    paths: PipelinePaths, spec: PipelineSpec, *, truth: Path, champion: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Labels and the model's predictions, then those of the baselines, of the champion where it is another model, and
    the true probabilities where a simulator wrote the file `truth`."""
    predictions = predict_examples(paths, spec, paths.model)
    with reading(paths.baselines) as folder:
        baselines = pl.read_parquet(folder / "predictions.parquet").select("example_id", PREDICTED)
    for others in [baselines] if champion is None else [baselines, champion]:
        predictions = predictions.join(others, on="example_id", how="left", maintain_order="left")
    if not truth.is_file():
        return predictions
    return with_ceiling(predictions, truth, spec.interaction_key, spec.tasks)
