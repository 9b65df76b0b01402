"""The code location: what `dagster` and `dg` load, in the checkout and in any project that this is installed for."""

import dagster as dg

from mtl_pipeline.components import load_pipelines
from mtl_pipeline.paths import defs_folder

# One process per run: `import torch` costs seconds and 220 MB in each process, and starting one per step
# takes four seconds a step. What it gives up: steps in parallel, and a killed step takes its run along.
EXECUTOR = dg.in_process_executor


@dg.definitions
def defs() -> dg.Definitions:
    pipelines = load_pipelines(defs_folder())
    return dg.Definitions.merge(pipelines, dg.Definitions(executor=EXECUTOR))
