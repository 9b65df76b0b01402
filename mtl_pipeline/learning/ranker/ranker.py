"""The trained ranker, and the folder that it is saved in, beside training_log.json and the files of provenance."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import torch
from polars.exceptions import PolarsError
from pydantic import AliasChoices, ConfigDict, Field, TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mtl_pipeline.champions import reading_model
from mtl_pipeline.errors import UserError, in_short
from mtl_pipeline.kinds import KINDS
from mtl_pipeline.learning.calibration.calibrator import CALIBRATION, Calibrator, calibrate, save_calibration
from mtl_pipeline.learning.data.dataset import Dataset, TextVectors, read_chosen
from mtl_pipeline.learning.data.encoding import FeatureEncoder, Rows
from mtl_pipeline.learning.data.pairs import Pairs
from mtl_pipeline.learning.network import MultiTaskNetwork
from mtl_pipeline.learning.ranker.members import Member, load_member, on_device
from mtl_pipeline.learning.representation.representation import NetworkShape
from mtl_pipeline.learning.representation.sequences.base import SequenceShape
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.predictions import CANDIDATE, label_column, prediction_column, uncalibrated_column
from mtl_pipeline.publishing import reading
from mtl_pipeline.spec import Model, PipelineSpec, Task

RENAMED_WEIGHTS = {
    r"^shared\.(first|deeper|biases)\.": r"shared.shared.\1.",
    r"^shared\.": "architecture.",
    r"^(ids|categorical|texts)\.": r"representation.\1.",
    r"^match\.": "representation.interaction.",
}
"""Names in models of earlier releases: a champion may be older than the code."""


@dataclass(frozen=True)
class LabelScale:
    """Mean and standard deviation that regression labels were standardised with; 0 and 1 for the other tasks."""

    __pydantic_config__ = ConfigDict(allow_inf_nan=False)

    mean: list[float]
    standard_deviation: Annotated[
        list[float], Field(validation_alias=AliasChoices("standard_deviation", "deviation"))
    ]
    """Models of earlier releases call it `deviation`."""


@dataclass(frozen=True)
class SavedMember:
    """What config.json says of one network; the first one's weights are in model.safetensors, those of the following
    in member_1.safetensors and so on."""

    gives: tuple[str, ...]
    predicts: tuple[str, ...]


@dataclass(frozen=True)
class Config:
    """What config.json holds."""

    model: Model
    tasks: list[Task]
    shape: NetworkShape
    scale: LabelScale
    slots: dict[str, int]
    """By list feature."""
    text_encoders: dict[str, str]
    """Fingerprint by table."""
    members: list[SavedMember] = field(default_factory=list)
    """Models of earlier releases name none: they have one network, which predicts all tasks."""


CONFIG = TypeAdapter(Config)


@dataclass
class Ranker:
    """Networks that can predict from encoded rows, or pairs of users with items."""

    members: list[Member]
    """The first one was trained for all the tasks."""
    tasks: list[Task]
    scale: LabelScale
    calibration: Mapping[str, Calibrator] = field(default_factory=dict)
    """By task; other tasks stay as the network predicts them."""

    def predict(self, rows: Rows | Pairs) -> dict[str, np.ndarray]:
        """The predictions of `predict_uncalibrated`, calibrated; float64 where that changes them."""
        return calibrate(self.predict_uncalibrated(rows), self.calibration)

    def predict_uncalibrated(self, rows: Rows | Pairs) -> dict[str, np.ndarray]:
        """By task, float32: probabilities [rows] (binary), values on the label's scale [rows] (regression),
        expected counts [rows] (count) or probabilities of the classes [rows, classes]."""
        outputs = self.outputs(rows)
        scales = zip(self.tasks, self.scale.mean, self.scale.standard_deviation, strict=True)
        return {
            task.name: (KINDS[task.kind].predictions(outputs[task.name]) * deviation + mean).numpy()
            for task, mean, deviation in scales
            if task.name in outputs
        }

    def outputs(self, rows: Rows | Pairs) -> dict[str, Tensor]:
        """By task that members predict, float32 [rows, outputs of the task]: the mean of what they give, before the
        link."""
        widths = {task.name: task.outputs for task in self.tasks}
        given: dict[str, list[Tensor]] = {task: [] for task in widths}
        for member in self.members:
            if member.predicts:
                outputs = member.outputs(rows, [widths[task] for task in member.gives])
                for task in member.predicts:
                    given[task].append(outputs[task])
        return {task: torch.stack(outputs).mean(0) for task, outputs in given.items() if outputs}

    def narrowed(self, tasks: Collection[str]) -> Ranker:
        """One that predicts these tasks only, and runs no network that they do not need."""
        members = [
            replace(member, predicts=tuple(task for task in member.predicts if task in tasks))
            for member in self.members
        ]
        return replace(self, members=members)

    @property
    def network(self) -> MultiTaskNetwork:
        """The first network for all the tasks."""
        return self.members[0].network

    @property
    def joint(self) -> Ranker:
        """The networks for all the tasks alone, not calibrated."""
        names = tuple(task.name for task in self.tasks)
        trained = [replace(member, predicts=names) for member in self.members if member.gives == names]
        return Ranker(trained, self.tasks, self.scale)


def save_ranker(
    folder: Path, ranker: Ranker, shape: NetworkShape, spec: PipelineSpec, dataset: Dataset
) -> None:
    """Write all that predicting needs: weights of the members, config.json, calibration.json, and what encodes rows,
    statistics.parquet and vocabulary.parquet."""
    for number, member in enumerate(ranker.members):
        member.save(folder / weights_file(number))
    members = [SavedMember(member.gives, member.predicts) for member in ranker.members]
    config = Config(
        spec.model, spec.tasks, shape, ranker.scale, dataset.slots, dataset.text.fingerprints, members
    )
    (folder / "config.json").write_bytes(CONFIG.dump_json(config, indent=2) + b"\n")
    save_calibration(folder, ranker.calibration)
    dataset.statistics.write_parquet(folder / "statistics.parquet")
    dataset.vocabulary.write_parquet(folder / "vocabulary.parquet")


def weights_file(number: int) -> str:
    return f"member_{number}.safetensors" if number else "model.safetensors"


def load_ranker(folder: Path, spec: PipelineSpec, text: TextVectors) -> tuple[Ranker, FeatureEncoder]:
    """A saved ranker with the feature encoder it was trained with. `folder`: that of the newest model or of a champion.

    Raises UserError when there is none, when it is damaged, or when it was trained for other tasks, on other features
    or with other text vectors.
    """
    with reading_model(folder) as version, readable(folder):
        config = CONFIG.validate_json((version / "config.json").read_bytes())
        statistics = pl.read_parquet(version / "statistics.parquet")
        vocabulary = pl.read_parquet(version / "vocabulary.parquet")
        names = tuple(task.name for task in config.tasks)
        saved = config.members or [SavedMember(names, names)]
        weights = [load_file(version / weights_file(number)) for number in range(len(saved))]
        calibration = CALIBRATION.validate_json((version / "calibration.json").read_bytes())
    encoder = FeatureEncoder(spec, statistics, vocabulary, config.slots, text.ids)
    users, items, interactions = spec.features.users, spec.features.items, spec.features.interactions
    declared = [*users.numeric, *items.numeric, *interactions.numeric, *spec.history_features]
    differences = {
        "for other tasks than defs.yaml declares": [*map(meaning, config.tasks)]
        != [*map(meaning, spec.tasks)],
        "with other text vectors (of another encoder, or other columns)": config.text_encoders
        != text.fingerprints,
        "on other features than defs.yaml declares": list(config.shape.fields) != encoder.fields
        or config.shape.numerics != len(encoder.numeric_names)
        or (config.model.sequence_encoder and config.shape.sequence != SequenceShape.of(spec))
        or sorted(statistics["feature"]) != sorted(declared)
        or config.shape.sides not in ({}, encoder.sides),  # models of earlier releases know no sides
    }
    for what, differs in differences.items():
        if differs:
            raise UserError(f"{folder} was trained {what}: materialize model again")
    with readable(folder):
        inputs = config.model, config.shape, on_device(text.tensors)
        members = [
            load_member(with_present_names(one), *inputs, [spec.task(task) for task in of.gives], of.predicts)
            for one, of in zip(weights, saved, strict=True)
        ]
    return Ranker(members, list(spec.tasks), config.scale, calibration), encoder


def with_present_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    for before, now in RENAMED_WEIGHTS.items():
        weights = {re.sub(before, now, name): tensor for name, tensor in weights.items()}
    return weights


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Raises UserError for files that are whole but mean nothing here: other parameters, settings that are gone, …"""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, KeyError, OSError, SafetensorError, PolarsError) as error:
        raise UserError(
            f"{folder} was made by another version of this project, or by hand: materialize model again "
            f"({in_short(error)})"
        ) from error


def meaning(task: Task) -> tuple:
    """What decides what a prediction of the task means; how it was learned (loss, weights) does not."""
    return task.name, task.kind, task.column, task.given, task.classes


def predict_examples(
    paths: PipelinePaths, spec: PipelineSpec, folder: Path, *, name: str = CANDIDATE
) -> pl.DataFrame:
    """The saved model's predictions for all validation and test examples: example_id, ids, timestamp, further columns
    of the interaction key, split, label/<task>, and the columns of `published_columns`."""
    ranker, encoder = load_ranker(folder, spec, TextVectors.read(paths, spec))
    with reading(paths.examples) as version:
        examples = pl.scan_parquet(version / "examples.parquet").filter(pl.col("split") != "train").collect()
        chosen = encoder.encode_chosen(read_chosen(version, spec))
    if missing := set(encoder.statistics["feature"]) - set(examples.columns):
        raise UserError(
            f"{folder} was trained on features that the examples lack ({', '.join(sorted(missing))}): "
            "materialize model again"
        )
    raw = ranker.predict_uncalibrated(encoder.encode(examples, chosen))
    columns = published_columns(name, raw, ranker.calibration)
    identity = dict.fromkeys(["example_id", *spec.ids, "timestamp", *spec.interaction_key, "split"])
    return examples.select(
        *identity, *(pl.col(task.name).alias(label_column(task.name)) for task in spec.tasks)
    ).with_columns(pl.Series(column, values) for column, values in columns.items())


def published_columns(
    model: str, raw: Mapping[str, np.ndarray], calibration: Mapping[str, Calibrator]
) -> dict[str, np.ndarray]:
    """prediction/<model>/<task>: calibrated predictions; uncalibrated/<model>/<task>: the raw ones, where calibration
    changed them."""
    columns = {prediction_column(model, task): values for task, values in calibrate(raw, calibration).items()}
    changed = [task for task in raw if task in calibration and calibration[task].changes]
    return columns | {uncalibrated_column(model, task): raw[task] for task in changed}
