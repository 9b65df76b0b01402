"""How a pipeline's defs.yaml becomes Dagster assets, checks, a job, a schedule and a sensor."""

from mtl_pipeline.components.loading import load_pipelines
from mtl_pipeline.components.pipeline import MultiTaskPipeline

__all__ = ["MultiTaskPipeline", "load_pipelines"]
