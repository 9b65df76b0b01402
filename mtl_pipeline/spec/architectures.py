"""The section `model`: what the ranker is. Settings by architecture; `Model` has those of all."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mtl_pipeline.spec.base import SpecModel

Architecture = Literal["linear", "shared_bottom", "mmoe", "ple", "esmm", "aitm", "pepnet", "stem"]
ExpertNormalisation = Literal["none", "batch"]
Interaction = Literal["vectors", "features"]
Numbers = Literal["linear", "piecewise"]
SequenceEncoder = Literal["mean", "target_attention", "transformer"]
Width = Annotated[int, Field(ge=1)]


class LinearSettings(SpecModel):
    """Settings of every architecture, and all that the linear model has: how the inputs are represented."""

    architecture: Architecture = "mmoe"
    """linear: each task a weighted sum of the inputs (McMahan et al., KDD 2013, https://doi.org/10.1145/2487575.2488200);
    the floor, and what little data carries. shared_bottom: one MLP for all tasks (Caruana 1997,
    https://doi.org/10.1023/A:1007379606734); for tasks that agree. mmoe: experts that all tasks read, each through a
    gate of its own (Ma et al., KDD 2018, https://doi.org/10.1145/3219819.3220007); for tasks that agree in part. ple:
    the same with further experts for each task alone (Tang et al., RecSys 2020,
    https://doi.org/10.1145/3383313.3412236); for tasks that conflict. esmm: an MLP per task; one that is `given`
    another learns the probability of both from all rows (Ma et al., SIGIR 2018, https://arxiv.org/abs/1804.07931); for
    recommending among items of which most are never clicked. aitm: what a task makes of the inputs is handed to the
    next one by attention (Xi et al., KDD 2021, https://arxiv.org/abs/2105.08489); for long chains whose last steps are
    rare. pepnet: gates from context, history and ids scale the inputs and every layer of an MLP per task (Chang et al.,
    KDD 2023, https://arxiv.org/abs/2302.01115); for users who differ much, or several surfaces in one log. stem: ids
    have an embedding for all and one per task (Su et al., AAAI 2024, https://arxiv.org/abs/2308.13537); for much data
    per id and tastes that differ by task."""
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
    text_components: int | None = Field(default=None, ge=1, exclude_if=lambda declared: declared is None)
    """How many leading principal components of the text vectors the network reads in their place, fitted to the texts
    of training's users and items; null: the vectors themselves."""
    text_whitened: bool = Field(default=False, exclude_if=lambda declared: not declared)
    """Whether these components, by default all, have the same variance."""
    text_dropout: float = Field(default=0.0, ge=0, lt=1, exclude_if=lambda declared: not declared)
    """Share of texts and pictures hidden in training, so that the network learns to do without: for few items that are
    learned by heart by their vectors."""
    interaction: Interaction = "vectors"
    """What of the user is multiplied with what of the item. vectors: ids and texts. features: the features of `users`
    and `items` too, for tastes that follow from age or country."""
    sequence_encoder: SequenceEncoder | None = None
    """How the network reads the items of `features.sequence` themselves, besides the numbers made of them.
    target_attention: each is weighted by how it goes with the row's item, learned from ids, texts and labels. mean: all
    alike, whatever the row's item. transformer: one layer of causal self-attention, which reads their order too."""
    sequence_dimension: int = Field(default=16, ge=1)
    """Width of the vectors of items in the sequence encoder."""
    cross_layers: int = Field(default=0, ge=0)
    """Layers that multiply the inputs with each other before the architecture reads them, each by one degree more:
    DCN-v2 (Wang et al., WWW 2021, https://arxiv.org/abs/2008.13535)."""
    cross_rank: int = Field(default=32, ge=1)
    """Rank of the matrix of each of `cross_layers`."""
    id_dropout: float = Field(default=0.6, ge=0, lt=1)
    """Share of ids replaced by the out-of-vocabulary embedding in training, so that it learns to represent new ids."""
    category_dropout: float = Field(default=0.05, ge=0, lt=1)
    """Share of each categorical feature's values hidden in training, so that the embedding of unknown values learns to
    represent new values, and those unknown when recommending."""


class SharedBottomSettings(LinearSettings):
    """Settings of every architecture with hidden layers."""

    hidden: list[Width] = Field(default=[64, 32], min_length=1)
    """Layer widths of the shared bottom, of each expert, or of each task's own MLP; all but `linear`."""
    tower: list[Width] = [32]
    """Layer widths of each task's tower on top of these; all but `linear`."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of units of `hidden` dropped out in training; all but `linear`."""


class MMoESettings(SharedBottomSettings):
    """Settings of a multi-gate mixture of experts."""

    experts: int = Field(default=4, ge=1)
    """Experts shared by all tasks; `mmoe`, `ple` and `stem` only."""
    expert_normalisation: ExpertNormalisation = "none"
    """batch: experts normalise their layers over the rows of a batch and pass them through SiLU in place of ReLU, so
    that none of them dies out or outshouts the others (HoME, Wang et al. 2024, https://arxiv.org/abs/2408.05430);
    `mmoe`, `ple` and `stem` only."""


class TaskExpertsSettings(MMoESettings):
    """Settings of mixtures with experts of single tasks."""

    task_experts: int = Field(default=1, ge=1)
    """Experts that each task has to itself; `ple` and `stem` only."""


class PLESettings(TaskExpertsSettings):
    """Settings of progressive layered extraction."""

    extraction_layers: int = Field(default=1, ge=1)
    """Layers of experts, one on top of the other; `ple` only."""


class Model(PLESettings):
    """Architecture of the multi-task ranker."""


SETTINGS: dict[str, type[LinearSettings]] = {
    "linear": LinearSettings,
    "shared_bottom": SharedBottomSettings,
    "mmoe": MMoESettings,
    "ple": PLESettings,
    "esmm": SharedBottomSettings,
    "aitm": SharedBottomSettings,
    "pepnet": SharedBottomSettings,
    "stem": TaskExpertsSettings,
}
"""By architecture. `Model` has the keys of all of them, so that architectures can be compared by changing one line."""
