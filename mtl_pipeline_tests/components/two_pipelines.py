"""The tiny pipeline and another of the same shape, without files, as one code location."""

from __future__ import annotations

import dagster as dg

from mtl_pipeline.components.pipeline import define_pipeline
from mtl_pipeline.definitions import EXECUTOR
from mtl_pipeline.paths import project_root
from mtl_pipeline_tests.conftest import PIPELINE, TinyPipeline

OTHER = "other"


@dg.definitions
def defs() -> dg.Definitions:
    spec = TinyPipeline(project_root()).spec
    pipelines = [define_pipeline(name, spec) for name in (PIPELINE, OTHER)]
    return dg.Definitions.merge(*pipelines, dg.Definitions(executor=EXECUTOR))
