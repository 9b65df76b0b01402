"""The guard: no task is left to the network for all tasks where a network of its own is shown to be better.

Validation rows decide. They also stopped the training of both networks, each at its best round, so that what they say
flatters both; test rows are left to the evaluation, which measures what the guard did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl
from safetensors.torch import load_file, save_file
from torch import Tensor

from mtl_pipeline.champions import reading_model
from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.ranker.members import SPEAKERS, Member, composed, load_member, on_device
from mtl_pipeline.learning.ranker.provenance import differing, networks_trained_with, read_trained_with
from mtl_pipeline.learning.ranker.ranker import Ranker, load_ranker, published_columns, readable
from mtl_pipeline.learning.representation.representation import NetworkShape
from mtl_pipeline.learning.training.checkpoint import Checkpoints
from mtl_pipeline.learning.training.held_out import HeldOut
from mtl_pipeline.learning.training.loop import Log
from mtl_pipeline.learning.training.side_by_side import SideBySide, Wanted
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.predictions import JOINT, label_column, prediction_column
from mtl_pipeline.publishing import reading
from mtl_pipeline.spec import PipelineSpec

Judge = Callable[[pl.DataFrame], pl.DataFrame]
"""From a wide frame of validation rows with the models JOINT, OWN and MEAN to one that says of each `task` what it is
to be `predicted_by`, and why."""

GUARD = "guard.parquet"


def guarded(dataset: Dataset, joint: Ranker, own: list[Member], judge: Judge) -> tuple[Ranker, pl.DataFrame]:
    """The ranker in which each task is predicted by the networks that the judge chose for it, and what the judge
    said."""

    def ranker(predicted_by: Mapping[str, str]) -> Ranker:
        return replace(joint, members=composed(joint.members, own, predicted_by))

    tasks = [task.name for task in joint.tasks]
    rows = dataset.split("validation")
    columns = {label_column(task): rows[task].cast(pl.Float64) for task in tasks}
    for name in SPEAKERS:
        predicted = ranker(dict.fromkeys(tasks, name)).predict_uncalibrated(dataset.validation)
        columns |= {prediction_column(name, task): pl.Series(values) for task, values in predicted.items()}
    identity = [name for name in ("example_id", "user_id", "split") if name in rows.columns]
    said = judge(rows.select(identity).with_columns(**columns))
    return ranker(choices(said)), said


def choices(said: pl.DataFrame | None) -> dict[str, str]:
    """Task → JOINT, OWN or MEAN; empty where no judge was asked."""
    return {} if said is None else dict(said.select("task", "predicted_by").iter_rows())


def own_members(
    paths: PipelinePaths,
    dataset: Dataset,
    spec: PipelineSpec,
    shape: NetworkShape,
    log: Log,
    checkpoints: Checkpoints | None = None,
) -> list[Member]:
    """The networks for single tasks: those of the baselines or, where these lack them or were trained on other examples
    or with other settings, trained here. `shape`: that of the network for all tasks."""
    try:
        now = networks_trained_with(dataset, spec)
        with readable(paths.baselines):
            if not (others := differing(now, read_trained_with(paths.baselines))):
                with reading(paths.baselines) as folder:
                    return load_own(folder, dataset, spec, shape)
        why = f"{paths.baselines} was not trained with the present {', '.join(others)}"
    except UserError as error:
        why = str(error)
    log(f"{why}; so the networks for single tasks are trained here")
    alone = [Wanted(task.name, spec.seed) for task in spec.tasks]
    with SideBySide(dataset, spec, alone, lambda _, line: log(line), checkpoints) as networks:
        return [member for wanted in alone for member in networks.ranker(wanted).members]


def save_own(folder: Path, task: str, networks: Iterable[Mapping[str, Tensor]]) -> None:
    """Write the weights of the networks for one task."""
    for number, weights in enumerate(networks):
        save_file(dict(weights), own_file(folder, task, number))


def load_own(folder: Path, dataset: Dataset, spec: PipelineSpec, shape: NetworkShape) -> list[Member]:
    inputs = spec.model, shape, on_device(dataset.text.tensors)
    return [
        load_member(load_file(own_file(folder, task.name, number)), *inputs, [task], [task.name])
        for task in spec.tasks
        for number in range(spec.training.members)
    ]


def own_file(folder: Path, task: str, number: int) -> Path:
    return folder / f"single_task_{task}_{number}.safetensors"


def joint_predictions(paths: PipelinePaths, spec: PipelineSpec, folder: Path) -> pl.DataFrame:
    """What the networks for all tasks alone predict for the validation and test examples, of the tasks that the guard
    has others predict: `example_id` and the columns of `published_columns`, calibrated as every model is."""
    dataset = Dataset(paths, spec)
    held_out = HeldOut(dataset, spec)
    ranker, _ = load_ranker(folder, spec, dataset.text)
    left = [task for task, predicted_by in choices(read_guard(folder)).items() if predicted_by != JOINT]
    raw = ranker.joint.narrowed(left).predict_uncalibrated(held_out.rows)
    columns = published_columns(JOINT, raw, held_out.calibration(raw))
    return held_out.frame.select("example_id").with_columns(
        **{name: pl.Series(c) for name, c in columns.items()}
    )


def read_guard(folder: Path) -> pl.DataFrame | None:
    """What the judge said of the tasks of the model in a folder; None where it was not asked."""
    with reading_model(folder) as version:
        return pl.read_parquet(version / GUARD) if (version / GUARD).is_file() else None
