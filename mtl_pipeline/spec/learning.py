"""The sections `model` and `training`: what the ranker is, and how it learns."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from mtl_pipeline.spec.base import SpecModel

Architecture = Literal["shared_bottom", "mmoe", "ple"]
Baseline = Literal["popularity", "linear", "boosted_trees", "single_task"]
Interaction = Literal["vectors", "features"]
LossNormalisation = Literal["labels", "tasks"]
Numbers = Literal["linear", "piecewise"]
Precision = Literal["auto", "float32", "bfloat16"]
SequenceEncoder = Literal["mean", "target_attention", "transformer"]
Weighting = Literal["static", "uncertainty"]
Width = Annotated[int, Field(ge=1)]


class SharedBottomSettings(SpecModel):
    """Settings of every architecture."""

    architecture: Architecture = "mmoe"
    """shared_bottom: one MLP for all tasks. mmoe: a mixture of experts with a gate for each task. ple: the same, with
    additional experts for each task alone."""
    id_dimension: int = Field(default=16, ge=1)
    """Width of the embedding of each id."""
    categorical_dimension: int = Field(default=8, ge=1)
    """Width of the embedding of each categorical feature."""
    numbers: Numbers = "linear"
    """How the network reads numeric features. linear: as they are, standardised. piecewise: also by bins of their
    values in training, each number embedded like a category: for features with thresholds, or mostly 0."""
    text_dimension: int | None = Field(default=32, ge=1)
    """Width of the trained projection of the text vectors, and of the products of user and item; null takes the vectors
    as they are, and products of width 32."""
    interaction: Interaction = "vectors"
    """What of the user is multiplied with what of the item. vectors: ids and texts. features: the features of `users`
    and `items` too, for tastes that follow from age or country."""
    sequence_encoder: SequenceEncoder | None = None
    """How the network reads the items of `features.sequence` themselves, besides the numbers made of them.
    target_attention: each is weighted by how it goes with the row's item, learned from ids, texts and labels. mean: all
    alike, whatever the row's item. transformer: one layer of causal self-attention, which reads their order too."""
    sequence_dimension: int = Field(default=16, ge=1)
    """Width of the vectors of items in the sequence encoder."""
    hidden: list[Width] = Field(default=[64, 32], min_length=1)
    """Layer widths of the shared bottom, or of each expert."""
    tower: list[Width] = [32]
    """Layer widths of each task's tower."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of units dropped out in training."""
    id_dropout: float = Field(default=0.6, ge=0, lt=1)
    """Share of ids replaced by the out-of-vocabulary embedding in training, so that it learns to represent new ids."""
    category_dropout: float = Field(default=0.05, ge=0, lt=1)
    """Share of each categorical feature's values hidden in training, so that the embedding of unknown values learns to
    represent new values, and those unknown when recommending."""


class MMoESettings(SharedBottomSettings):
    """Settings of a multi-gate mixture of experts."""

    experts: int = Field(default=4, ge=1)
    """Experts shared by all tasks; `mmoe` and `ple` only."""


class PLESettings(MMoESettings):
    """Settings of progressive layered extraction."""

    task_experts: int = Field(default=1, ge=1)
    """Experts that each task has to itself; `ple` only."""
    extraction_layers: int = Field(default=1, ge=1)
    """Layers of experts, one on top of the other; `ple` only."""


class Model(PLESettings):
    """Architecture of the multi-task ranker."""


SETTINGS: dict[str, type[SharedBottomSettings]] = {
    "shared_bottom": SharedBottomSettings,
    "mmoe": MMoESettings,
    "ple": PLESettings,
}
"""By architecture. `Model` has the keys of all of them, so that architectures can be compared by changing one line."""


class Training(SpecModel):
    """How the ranker is trained."""

    weighting: Weighting = "uncertainty"
    """How the tasks' losses are weighted: by `weight` alone, or also by learned uncertainty."""
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
    this task alone is predicted by the latter, or by the mean of both. `model` takes these networks from `baselines`,
    and waits for them."""
    hedge: bool = True
    """Whether the guard also has the mean of both predict where no harm is shown, but the mean is better on validation
    rows in every compared metric. Scoring takes a further network for each such task."""
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
