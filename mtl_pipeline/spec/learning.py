"""The sections `model` and `training`: what the ranker is, and how it learns."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mtl_pipeline.spec.base import SpecModel

Architecture = Literal["shared_bottom", "mmoe", "ple"]
LossNormalisation = Literal["labels", "tasks"]
Weighting = Literal["static", "uncertainty"]
Width = Annotated[int, Field(ge=1)]


class SharedBottomSettings(SpecModel):
    """What every architecture may be told."""

    architecture: Architecture = "mmoe"
    """One bottom for all tasks; a mixture of experts with a gate for each task; or one in which each task also has
    experts that no other task reads."""
    id_dimension: int = Field(default=16, ge=1)
    """Width of the embedding of each id."""
    categorical_dimension: int = Field(default=8, ge=1)
    """Width of the embedding of each categorical feature."""
    text_dimension: int = Field(default=32, ge=1)
    """Width of the trained projection of the text vectors."""
    hidden: list[Width] = Field(default=[64, 32], min_length=1)
    """Layer widths of the shared bottom, or of each expert."""
    tower: list[Width] = [32]
    """Layer widths of each task's tower."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of units dropped in training."""
    id_dropout: float = Field(default=0.6, ge=0, lt=1)
    """Share of ids replaced by the out-of-vocabulary row in training, so that it learns to stand in for new ones."""
    category_dropout: float = Field(default=0.05, ge=0, lt=1)
    """Share of the values of each categorical feature hidden in training, so that its row for unknown values learns to
    stand in for new ones, and for what is unknown of recommendations."""


class MMoESettings(SharedBottomSettings):
    """What a multi-gate mixture of experts may be told."""

    experts: int = Field(default=4, ge=1)
    """Experts that every task reads; `mmoe` and `ple` only."""


class PLESettings(MMoESettings):
    """What progressive layered extraction may be told."""

    task_experts: int = Field(default=1, ge=1)
    """Experts of each task's own; `ple` only."""
    extraction_layers: int = Field(default=1, ge=1)
    """Layers of experts, each on top of another; `ple` only."""


class Model(PLESettings):
    """Architecture of the multi-task ranker."""


SETTINGS: dict[str, type[SharedBottomSettings]] = {
    "shared_bottom": SharedBottomSettings,
    "mmoe": MMoESettings,
    "ple": PLESettings,
}
"""By architecture, what it may be told. `Model` has the keys of all of them, so that architectures can be compared by
changing one line."""


class Training(SpecModel):
    """How the ranker is trained."""

    weighting: Weighting = "uncertainty"
    """How the tasks' losses are added up: by `weight` alone, or also by learned uncertainty."""
    renamed = {"balance": "loss_normalisation"}

    loss_normalisation: LossNormalisation = "labels"
    """labels: every observed label counts alike, so a task counts by how often it is observed. tasks: every task counts
    alike, however few labels it has."""
    epochs: int = Field(default=20, ge=1)
    """At most so many passes over the training split."""
    patience: int = Field(default=4, ge=1)
    """Validation rounds (two per epoch) without improvement before a task is frozen at its best round;
    training stops when all tasks are."""
    batch_size: int = Field(default=2048, ge=1)
    """Rows of one step."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Step size of the optimiser."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Pull of the weights towards zero; the id embeddings, of which a batch touches few, are left out."""
    calibration: Literal["auto", "none"] = "auto"
    """auto: the predictions of every model, for recommendations too, are corrected on validation rows, by isotonic
    regression, Platt or temperature scaling according to kind of task and number of rows, where that helps on
    rows that it was not fitted on. none: they stay as they come."""
