"""The section `tuning`: what the search for better settings may try."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import Field, model_validator

from mtl_pipeline.spec.base import SpecError, SpecModel, refuse_repeats
from mtl_pipeline.spec.learning import SETTINGS, Architecture, LossNormalisation, Model, Weighting

Count = Annotated[int, Field(ge=1)]
Widths = Annotated[list[Count], Field(min_length=1)]


class Range(SpecModel):
    """Shares between two ends, each as likely as another."""

    low: float = Field(ge=0, lt=1)
    """Lowest value to try."""
    high: float = Field(ge=0, lt=1)
    """Highest value to try."""


class LogRange(SpecModel):
    """Numbers between two ends, each order of magnitude as likely as another."""

    low: float = Field(gt=0)
    """Lowest value to try."""
    high: float = Field(gt=0)
    """Highest value to try."""


class Tuning(SpecModel):
    """What `<pipeline>/tuning` searches; it runs only when asked to (docs/tuning.md).

    Each key below `architectures` is a key of `model` or `training` with the values to try; null keeps it as
    `model` or `training` says.
    """

    trials: int = Field(default=20, ge=1)
    """Networks trained for each architecture; the first one has the settings of `model` and `training`."""
    architectures: list[Architecture] = Field(default=list(get_args(Architecture)), min_length=1)
    """The architectures to compare, with equally many trials each."""
    learning_rate: LogRange | None = LogRange(low=3e-4, high=1e-2)
    weight_decay: LogRange | None = LogRange(low=1e-6, high=1e-1)
    dropout: Range | None = Range(low=0.0, high=0.5)
    id_dropout: Range | None = Range(low=0.0, high=0.9)
    batch_size: list[Count] | None = Field(default=[1024, 2048, 4096], min_length=1)
    """Rows of one step, to choose from."""
    weighting: list[Weighting] | None = Field(default=list(get_args(Weighting)), min_length=1)
    """Ways to add up the tasks' losses, to choose from."""
    renamed = {"balance": "loss_normalisation"}
    loss_normalisation: list[LossNormalisation] | None = Field(default=None, min_length=1)
    """Whether labels or tasks count alike in the loss. Not searched by default: the score counts every task alike."""
    hidden: list[Widths] | None = Field(default=[[32], [64, 32], [128, 64]], min_length=1)
    """Layer widths of the shared bottom, or of each expert, to choose from."""
    tower: list[list[Count]] | None = Field(default=None, min_length=1)
    """Layer widths of each task's tower, to choose from."""
    text_dimension: list[Count] | None = Field(default=[16, 32, 64], min_length=1)
    """Widths of the trained projection of the text vectors, to choose from."""
    id_dimension: list[Count] | None = Field(default=[8, 16, 32], min_length=1)
    """Widths of the embedding of each id, to choose from."""
    categorical_dimension: list[Count] | None = Field(default=None, min_length=1)
    """Widths of the embedding of each categorical feature, to choose from."""
    experts: list[Count] | None = Field(default=[2, 4, 8], min_length=1)
    """Numbers of shared experts to choose from; `mmoe` and `ple` only."""
    task_experts: list[Count] | None = Field(default=[1, 2], min_length=1)
    """Numbers of each task's own experts to choose from; `ple` only."""

    def space(self, architecture: str) -> dict[str, Any]:
        """What may be tried, by name of the setting: a Range, a LogRange or a list of choices.

        What only some architectures have comes last, so that random draws of the rest are the same for all.
        """
        unknown = Model.model_fields.keys() - SETTINGS[architecture].model_fields.keys()
        return {name: allowed for name, allowed in self.searched().items() if name not in unknown}

    def searched(self) -> dict[str, Any]:
        settings = type(self).model_fields.keys() - {"trials", "architectures"}
        return {name: allowed for name, allowed in self if name in settings and allowed is not None}

    @model_validator(mode="after")
    def check_ranges(self) -> Tuning:
        refuse_repeats("tuning: architectures", list(self.architectures), "architectures")
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
