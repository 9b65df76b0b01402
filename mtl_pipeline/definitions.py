"""The code location: what `dagster` and `dg` load."""

import os
from pathlib import Path

import dagster as dg

from mtl_pipeline.components import load_pipelines

# One process per run: `import torch` costs seconds and 220 MB in each process, and starting one per step
# takes four seconds a step. What it gives up: steps in parallel, and a killed step takes its run along.
EXECUTOR = dg.in_process_executor


# Threads of torch and scikit-learn that wait for each other spin by default: where other work shares the cores,
# training slows down tenfold. A short spin costs nothing on idle cores; none at all costs a third. Read when the
# libraries are first imported, which is later than this.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")


@dg.definitions
def defs() -> dg.Definitions:
    pipelines = load_pipelines(Path(__file__).parent)
    return dg.Definitions.merge(pipelines, dg.Definitions(executor=EXECUTOR))
