"""The networks for single tasks: trained beside the one for all tasks, whose guard chooses among them, and kept for the
baselines, which measure them as `single_task`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors.torch import load_file

from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.ranker.members import load_member, on_device
from mtl_pipeline.learning.ranker.provenance import (
    differing,
    networks_trained_with,
    read_trained_with,
    write_trained_with,
)
from mtl_pipeline.learning.ranker.ranker import Ranker, readable
from mtl_pipeline.learning.training.at_once.side_by_side import Wanted
from mtl_pipeline.learning.training.continuing.checkpoint import code_digest
from mtl_pipeline.learning.training.loop import Log, network_shape, scale_of
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import publish_folder, reading
from mtl_pipeline.spec import PipelineSpec


def single_task_networks(spec: PipelineSpec) -> dict[str, Wanted]:
    """By task."""
    return {task.name: Wanted(task.name, spec.seed) for task in spec.tasks}


def alone_log(log: Log) -> Callable[[Wanted, str], None]:
    """Of networks for single tasks."""
    return lambda of, line: log(f"{of.task} alone, {line}")


def publish_single_task(
    paths: PipelinePaths, dataset: Dataset, spec: PipelineSpec, rankers: Mapping[str, Ranker]
) -> None:
    """Keep the weights of the networks for each task, and what they were trained with."""
    with publish_folder(paths.single_task) as folder:
        for task, ranker in rankers.items():
            for number, member in enumerate(ranker.members):
                member.save(weights_file(folder, task, number))
        write_trained_with(folder, made_with(dataset, spec))


def read_single_task(
    paths: PipelinePaths, dataset: Dataset, spec: PipelineSpec, log: Log
) -> dict[Wanted, Ranker]:
    """What was kept, none or all; the log says why none is of use where some are there."""
    kept = paths.single_task
    if not kept.exists():
        return {}
    try:
        with readable(kept):
            if others := differing(made_with(dataset, spec), read_trained_with(kept)):
                raise UserError(f"not trained with the present {', '.join(others)}")
            with reading(kept) as folder:
                return {
                    wanted: load_single_task(folder, task, dataset, spec)
                    for task, wanted in single_task_networks(spec).items()
                }
    except UserError as error:
        why = str(error).partition(": materialize ")[0]  # this folder is no asset
        log(f"the networks for single tasks in {kept} are not taken, but trained anew: {why}")
        return {}


def made_with(dataset: Dataset, spec: PipelineSpec) -> dict:
    """The code too: nobody asks for these networks by themselves, so that they could outlive many versions of it."""
    return networks_trained_with(dataset, spec) | {"code": code_digest()}


def load_single_task(folder: Path, task: str, dataset: Dataset, spec: PipelineSpec) -> Ranker:
    tasks = [spec.task(task)]
    inputs = spec.model, network_shape(dataset, spec, tasks), on_device(dataset.text.tensors)
    members = [
        load_member(load_file(weights_file(folder, task, number)), *inputs, tasks, [task])
        for number in range(spec.training.members)
    ]
    return Ranker(members, tasks, scale_of(dataset, tasks))


def weights_file(folder: Path, task: str, number: int) -> Path:
    return folder / f"{task}_{number}.safetensors"
