"""The tiny pipeline below $MTL_PIPELINE_ROOT as a code location, for `dagster dev`."""

from __future__ import annotations

from unittest.mock import patch

import dagster as dg

from mtl_pipeline.components.assets import raw_files
from mtl_pipeline.components.pipeline import define_pipeline
from mtl_pipeline.definitions import EXECUTOR
from mtl_pipeline.paths import project_root
from mtl_pipeline_tests.conftest import PIPELINE, TinyPipeline


@dg.definitions
def defs() -> dg.Definitions:
    """Its sensor looks whenever the daemon lets it, every 5 seconds, instead of every 30."""
    with patch.object(raw_files, "SECONDS_BETWEEN_LOOKS", 1):
        pipeline = define_pipeline(PIPELINE, TinyPipeline(project_root()).spec)
    return dg.Definitions.merge(pipeline, dg.Definitions(executor=EXECUTOR))
