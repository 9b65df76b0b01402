"""What tasks gain or lose by being trained together: best validation losses of one network per task, and of one network
for all with `loss_normalisation: tasks` and `loss_normalisation: labels`, for each architecture asked for.

    make demo PIPELINE=shop
    python benchmarks/joint_training.py shop --seeds 0 1 --architectures mmoe ple

The loss is the one that is trained by, in the round that is kept, before calibration (of a binary task its
log-loss). Needs the examples and text vectors of the pipeline, and changes nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

import mtl_pipeline.defs
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.training.loop import fit_network
from mtl_pipeline.paths import PipelinePaths, project_root
from mtl_pipeline.spec import PipelineSpec, Task


def changed(spec: PipelineSpec, seed: int, **settings: object) -> PipelineSpec:
    """With other values of `model` and `training`."""
    sections = {
        name: (section := getattr(spec, name)).model_copy(
            update={key: value for key, value in settings.items() if key in type(section).model_fields}
        )
        for name in ("model", "training")
    }
    return spec.model_copy(update={"seed": seed, **sections})


def losses(dataset: Dataset, spec: PipelineSpec, tasks: Sequence[Task]) -> dict[str, float]:
    """Validation loss of each task in the round that is kept."""
    fit = fit_network(dataset, spec, tasks, lambda line: None)
    return {task.name: fit.best[f"validation_loss/{task.name}"] for task in tasks}


def compared(
    spec: PipelineSpec, seed: int, architectures: Sequence[str]
) -> Iterator[tuple[str, PipelineSpec]]:
    for architecture in architectures:
        for normalisation in ("tasks", "labels"):
            yield (
                f"{architecture}, {normalisation}",
                changed(spec, seed, architecture=architecture, loss_normalisation=normalisation),
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pipeline")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--architectures", nargs="+", default=["mmoe"])
    options = parser.parse_args()
    declared = Path(mtl_pipeline.defs.__file__ or "").parent / options.pipeline / "defs.yaml"
    spec = PipelineSpec.model_validate(yaml.safe_load(declared.read_text())["attributes"])
    dataset = Dataset(PipelinePaths(project_root(), options.pipeline), spec)
    for seed in options.seeds:
        alone: dict[str, float] = {}
        for task in spec.tasks:
            alone |= losses(dataset, changed(spec, seed), [task])
        show(seed, "one network per task", alone)
        for name, variant in compared(spec, seed, options.architectures):
            show(seed, name, losses(dataset, variant, spec.tasks))


def show(seed: int, name: str, found: dict[str, float]) -> None:
    print(
        f"seed {seed}, {name}: {', '.join(f'{task} {loss:.4f}' for task, loss in found.items())}", flush=True
    )


if __name__ == "__main__":
    main()
