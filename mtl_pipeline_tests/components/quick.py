"""The tiny pipeline, made to learn fast."""

from __future__ import annotations

from pathlib import Path

from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import Negatives
from mtl_pipeline_tests.conftest import (
    PIPELINE,
    TinyPipeline,
)


def quick_pipeline(root: str | Path) -> PipelineContext:
    """The tiny pipeline below `root`, which learns even less."""
    spec = TinyPipeline(Path(root)).spec
    less = spec.model_copy(
        update={
            "training": spec.training.model_copy(update={"epochs": 1, "batch_size": 64}),
            "negatives": Negatives(per_positive=1),
            "evaluation": spec.evaluation.model_copy(update={"bootstrap_samples": 60}),
        }
    )
    return PipelineContext(PIPELINE, less, PipelinePaths(Path(root), PIPELINE))
