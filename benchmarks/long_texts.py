"""Long texts cut beside long texts read in windows: test losses of a pipeline's network, over seeds.

    make demo PIPELINE=deskdrop FROM=<folder>    # a pipeline whose tables are made
    PYTHONPATH=. python benchmarks/long_texts.py deskdrop --seeds 4

Works on a copy of the pipeline's files. Examples are made of each reading's own vectors.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from scipy.stats import t as student

from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.training.loop import fit_network
from mtl_pipeline.learning.training.optimisation.losses import labelled_rows, loss_sums
from mtl_pipeline.paths import PipelinePaths, project_root
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.features.examples import build_examples
from mtl_pipeline.workflows.__main__ import declared
from mtl_pipeline.workflows.embed import embed_table

READINGS = ("cut", "windows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pipeline")
    parser.add_argument("--seeds", type=int, default=4)
    wanted = parser.parse_args()
    spec = declared(wanted.pipeline)
    names = [*(task.name for task in spec.tasks), "validation score"]
    with TemporaryDirectory() as root:
        paths = PipelinePaths(Path(root), wanted.pipeline)
        whole = PipelinePaths(project_root(), wanted.pipeline)
        paths.warehouse.parent.mkdir(parents=True)
        shutil.copy(whole.warehouse, paths.warehouse)
        losses = [losses_of(paths, spec, reading, wanted.seeds) for reading in READINGS]
    print("| | cut | windows | change, %, mean ± 95 % over seeds |\n|---|--:|--:|--:|")
    for name, cut, windows in zip(names, *losses, strict=True):
        change = 100 * (windows / cut - 1)
        wide = student.ppf(0.975, len(change) - 1) * change.std(ddof=1) / np.sqrt(len(change))
        print(f"| {name} | {cut.mean():.4f} | {windows.mean():.4f} | {change.mean():+.2f} ± {wide:.2f} |")


def losses_of(paths: PipelinePaths, spec: PipelineSpec, reading: str, seeds: int) -> np.ndarray:
    """float [tasks + 1, seeds]: mean test losses, and the validation score of the round that is kept."""
    encoder = spec.encoder.model_copy(update={"long_texts": reading})
    spec = spec.model_copy(update={"encoder": encoder, "user_encoder": None})
    for table in spec.text_tables:
        print(
            table,
            reading,
            embed_table(paths, spec, table, log=lambda line: None).tokens,
            "tokens",
            flush=True,
        )
    build_examples(paths, spec)
    dataset = Dataset(paths, spec)
    test = dataset.encode(dataset.split("test"))
    columns = list(range(len(spec.tasks)))
    found = []
    for seed in range(seeds):
        seeded = spec.model_copy(update={"seed": seed})
        fit = fit_network(dataset, seeded, spec.tasks, lambda line: None)
        rows = labelled_rows(test, columns, fit.ranker.scale)
        network = fit.ranker.network.eval()
        with torch.inference_mode():
            sums, counts = loss_sums(network(rows), rows.labels, spec.tasks)
        found.append([*(sums / counts).tolist(), fit.best["score"]])
    return np.array(found).T


if __name__ == "__main__":
    main()
