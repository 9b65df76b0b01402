"""The code location: what `dagster` and `dg` load."""

from pathlib import Path

import dagster as dg

from mtl_pipeline.components import load_pipelines

# One process per run: `import torch` costs seconds and 220 MB in each process, and starting one per step
# takes four seconds a step. What it gives up: steps in parallel, and a killed step takes its run along.
EXECUTOR = dg.in_process_executor


@dg.definitions
def defs() -> dg.Definitions:
    pipelines = load_pipelines(Path(__file__).parent)
    return dg.Definitions.merge(pipelines, dg.Definitions(executor=EXECUTOR))
