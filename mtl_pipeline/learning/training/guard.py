"""The guard: no task is left to the network for all tasks where a network of its own is shown to be better.

Validation rows decide. They also stopped the training of both networks, each at its best round, so that what they say
flatters both; test rows are left to the evaluation, which measures what the guard did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl

from mtl_pipeline.champions import reading_model
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.ranker.members import SPEAKERS, Member, composed
from mtl_pipeline.learning.ranker.ranker import Ranker, load_ranker, published_columns
from mtl_pipeline.learning.training.held_out import HeldOut
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.predictions import JOINT, label_column, prediction_column
from mtl_pipeline.spec import PipelineSpec

Judge = Callable[[pl.DataFrame], pl.DataFrame]
"""From a wide frame of validation rows with the models JOINT, OWN and MEAN to one that says of each `task` what it is
to be `predicted_by`, and why."""

GUARD = "guard.parquet"


def guarded(
    dataset: Dataset, joint: Ranker, own: Iterable[Ranker], judge: Judge
) -> tuple[Ranker, pl.DataFrame]:
    """The ranker in which each task is predicted by the networks that the judge chose for it, and what the judge
    said. `own`: those for single tasks."""
    alone = members_of(own)

    def ranker(predicted_by: Mapping[str, str]) -> Ranker:
        return replace(joint, members=composed(joint.members, alone, predicted_by))

    tasks = [task.name for task in joint.tasks]
    rows = dataset.split("validation")
    columns = {label_column(task): rows[task].cast(pl.Float64) for task in tasks}
    for name in SPEAKERS:
        predicted = ranker(dict.fromkeys(tasks, name)).predict_uncalibrated(dataset.validation)
        columns |= {prediction_column(name, task): pl.Series(values) for task, values in predicted.items()}
    identity = [name for name in ("example_id", "user_id", "split") if name in rows.columns]
    said = judge(rows.select(identity).with_columns(**columns))
    return ranker(choices(said)), said


def members_of(rankers: Iterable[Ranker]) -> list[Member]:
    return [member for ranker in rankers for member in ranker.members]


def choices(said: pl.DataFrame | None) -> dict[str, str]:
    """Task → JOINT, OWN or MEAN; empty where no judge was asked."""
    return {} if said is None else dict(said.select("task", "predicted_by").iter_rows())


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
