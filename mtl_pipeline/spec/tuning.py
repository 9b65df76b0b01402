"""The section `tuning`: what the search for better settings may try."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from mtl_pipeline.spec.architectures import SETTINGS, Architecture, Model, Numbers
from mtl_pipeline.spec.base import SpecError, SpecModel, refuse_repeats
from mtl_pipeline.spec.learning import LossNormalisation
from mtl_pipeline.spec.weighting import Weighting

Count = Annotated[int, Field(ge=1)]
TEXT_DIMENSIONS: list[int | None] = [16, 32, 64]
Widths = Annotated[list[Count], Field(min_length=1)]
BALANCED_BY: list[Weighting] = ["static", "uncertainty"]
"""By default; a search among all methods would need many more trials."""


class Range(SpecModel):
    """A range to draw from uniformly."""

    low: float = Field(ge=0, lt=1)
    """Lowest value to try."""
    high: float = Field(ge=0, lt=1)
    """Highest value to try."""


class LogRange(SpecModel):
    """A range to draw from uniformly on a logarithmic scale."""

    low: float = Field(gt=0)
    """Lowest value to try."""
    high: float = Field(gt=0)
    """Highest value to try."""


class Tuning(SpecModel):
    """What `<pipeline>/tuning` searches; it runs only on request (docs/tuning.md).

    Each key after `architectures` is a key of `model` or `training` with the values to try; null keeps its value.
    """

    trials: int = Field(default=20, ge=1)
    """Networks to train per architecture; the first has the settings of `model` and `training`."""
    architectures: list[Architecture] | None = Field(default=None, min_length=1)
    """Architectures to compare, with the same number of trials each; by default shared_bottom, mmoe, ple and that of
    `model`."""
    learning_rate: LogRange | None = LogRange(low=3e-4, high=1e-2)
    weight_decay: LogRange | None = LogRange(low=1e-6, high=1e-1)
    dropout: Range | None = Range(low=0.0, high=0.5)
    id_dropout: Range | None = Range(low=0.0, high=0.9)
    text_dropout: Range | None = Field(default=None, exclude_if=lambda declared: declared is None)
    """Shares of texts hidden in training to try: where few texts are learned by heart. Not searched by default."""
    batch_size: list[Count] | None = Field(default=[1024, 2048, 4096], min_length=1)
    """Numbers of rows per step to try."""
    weighting: list[Weighting] | None = Field(default=BALANCED_BY, min_length=1)
    """Ways of balancing the tasks to try."""
    renamed = {"balance": "loss_normalisation"}
    loss_normalisation: list[LossNormalisation] | None = Field(default=None, min_length=1)
    """Normalisations of the loss to try. Not searched by default: the search's score weights all tasks equally."""
    hidden: list[Widths] | None = Field(default=[[32], [64, 32], [128, 64]], min_length=1)
    """Layer widths of the shared bottom, of each expert, or of each task's own MLP, to try; all but `linear`."""
    tower: list[list[Count]] | None = Field(default=None, min_length=1)
    """Layer widths of each task's tower to try; all but `linear`."""
    text_dimension: list[Count | None] | None = Field(default=TEXT_DIMENSIONS, min_length=1)
    """Widths of the trained projection of the text vectors to try."""
    id_dimension: list[Count] | None = Field(default=[8, 16, 32], min_length=1)
    """Widths of id embeddings to try."""
    categorical_dimension: list[Count] | None = Field(default=None, min_length=1)
    """Widths of categorical embeddings to try."""
    numbers: list[Numbers] | None = Field(default=None, min_length=1)
    """Ways of reading numbers to try."""
    experts: list[Count] | None = Field(default=[2, 4, 8], min_length=1)
    """Numbers of shared experts to try; `mmoe`, `ple` and `stem` only."""
    task_experts: list[Count] | None = Field(default=[1, 2], min_length=1)
    """Numbers of experts per task to try; `ple` and `stem` only."""

    def space(self, architecture: str) -> dict[str, Any]:
        """What may be tried, by name of the setting: a Range, a LogRange or a list of choices.

        What only mixtures of experts have comes last, so that random draws of the rest are the same for all with hidden
        layers.
        """
        unknown = Model.model_fields.keys() - SETTINGS[architecture].model_fields.keys()
        return {name: allowed for name, allowed in self.searched().items() if name not in unknown}

    def searched(self) -> dict[str, Any]:
        settings = type(self).model_fields.keys() - {"trials", "architectures"}
        return {name: allowed for name, allowed in self if name in settings and allowed is not None}

    @model_validator(mode="after")
    def check_ranges(self) -> Tuning:
        refuse_repeats("tuning: architectures", [*(self.architectures or [])], "architectures")
        for name, allowed in self.searched().items():
            if isinstance(allowed, list):
                refuse_repeats(f"tuning: {name}", [str(choice) for choice in allowed], name)
            elif allowed.low >= allowed.high:
                raise SpecError(
                    f"tuning: {name}: low {allowed.low:g} is not below high {allowed.high:g}; null keeps the value "
                    "that it has",
                    f"{name}.low",
                )
        return self
