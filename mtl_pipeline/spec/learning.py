"""The sections `training` and `baselines`: how the ranker learns, and what it is measured against."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from mtl_pipeline.spec.base import SpecModel
from mtl_pipeline.spec.weighting import WeightingSettings

Baseline = Literal["popularity", "linear", "boosted_trees", "single_task"]
LossNormalisation = Literal["labels", "tasks"]
Precision = Literal["auto", "float32", "bfloat16"]


class Training(WeightingSettings):
    """How the ranker is trained."""

    renamed = {"balance": "loss_normalisation"}
    loss_normalisation: LossNormalisation = "labels"
    """labels: every observed label has the same weight, so tasks observed more often count for more. tasks: every task
    has the same weight, however few labels it has."""
    rows: int | None = Field(default=None, ge=1)
    """From how many training rows all models learn at most, drawn by a hash; by default from all."""
    rows_in_memory: int = Field(default=10_000_000, ge=1)
    """A training split of more rows is read again in every epoch instead of being held in memory, and shuffled among a
    million rows at a time."""
    epochs: int = Field(default=20, ge=1)
    """Passes over the training split, at most."""
    patience: int = Field(default=4, ge=1)
    """Validation rounds (two per epoch) without improvement after which a task is frozen at its best round; training
    stops when all tasks are frozen."""
    batch_size: int = Field(default=2048, ge=1)
    """Rows per optimiser step."""
    precision: Precision = "auto"
    """In what training multiplies matrices; weights are float32 in any case, and so are predictions. auto: bfloat16
    where the hardware has it, float32 elsewhere."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Step size of the optimiser."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Weight decay of the network's weights, except the id embeddings, few of which occur in a batch."""
    clip_gradients: float | None = Field(default=None, gt=0)
    """The largest norm of the gradient, id embeddings aside; a longer one is shortened to it (Pascanu et al., ICML
    2013, https://arxiv.org/abs/1211.5063)."""
    calibration: Literal["auto", "none"] = "auto"
    """auto: every model's predictions, those for recommendations too, are calibrated on validation rows by isotonic
    regression, Platt or temperature scaling, depending on the kind of task and the number of rows, if that helps on
    rows that it was not fitted on. none: predictions are used as they are."""
    guard: bool = True
    """Whether a task on which the network for all tasks is shown, on validation rows, to be worse than a network for
    this task alone is predicted by the latter, or by the mean of both. `model` trains these networks beside
    that for all tasks; `baselines` waits for it, and measures them."""
    hedge: bool = True
    """Whether the guard also has the mean of both predict where no harm is shown, but the mean is better on validation
    rows in every compared metric. Scoring takes a further network for each such task."""
    warm_start: bool = False
    """Whether the network for all tasks starts half way from random weights to those of the champion, where that has
    the same settings of `model`, tasks and inputs, and has learned nothing from rows that are held out now: it takes
    fewer epochs. Networks for single tasks, and those of studies, start with random weights."""
    members: int = Field(default=1, ge=1)
    """Networks with different seeds whose mean predicts; the baseline `single_task` has as many. Training and
    predicting take that many times as long."""


class Baselines(SpecModel):
    """What the ranker is measured against, besides the constant answer, which is always made. They take much of a run's
    time; the report says where they are fewer, or learned from fewer rows."""

    models: list[Baseline] = list(get_args(Baseline))
    """Which are made. Without single_task the model has no guard, and what joint training gives is not measured."""
    rows: int | None = Field(default=None, ge=1)
    """From how many training rows each may learn at most, drawn by a hash of those on which its task was observed. By
    default single_task learns from all, and the others from half a million."""
