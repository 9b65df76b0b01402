"""The settings that a search may change: how a trial gets its values, and what becomes of the specification."""

from __future__ import annotations

import json
from typing import Any

import optuna

from mtl_pipeline.spec import LogRange, Model, PipelineSpec, Training

DIGITS = 3
"""Significant digits of a number that is tried: more would not matter, and nobody could read them."""


def search_space(spec: PipelineSpec, architecture: str) -> dict[str, Any]:
    """What `tuning` lets be tried (see Tuning.space), without the settings of inputs that the pipeline lacks."""
    inputs = {
        "id_dimension": spec.ids,
        "id_dropout": spec.ids,
        # The match of user and item has that width too, of ids alone as well.
        "text_dimension": spec.text_tables or len(spec.ids) == 2,
        "categorical_dimension": spec.categorical_features,
    }
    return {
        name: allowed for name, allowed in spec.tuning.space(architecture).items() if inputs.get(name, True)
    }


def present_settings(spec: PipelineSpec, architecture: str) -> PipelineSpec:
    """The pipeline as it is declared, with this architecture."""
    return with_values(spec, {"architecture": architecture})


def with_values(spec: PipelineSpec, values: dict[str, Any]) -> PipelineSpec:
    """The specification with other settings in `model` and `training`."""
    return spec.model_copy(
        update={
            "model": Model.model_validate(spec.model.model_dump() | chosen(Model, values)),
            "training": Training.model_validate(spec.training.model_dump() | chosen(Training, values)),
        }
    )


def chosen(section: type[Model] | type[Training], values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in section.model_fields}


def value_of(spec: PipelineSpec, name: str) -> Any:
    """The value that a setting of `model` or `training` has."""
    return getattr(spec.model if name in Model.model_fields else spec.training, name)


def suggest_values(trial: optuna.Trial, space: dict[str, Any]) -> dict[str, Any]:
    """A value of each setting in `space` (see search_space), drawn by the study's sampler."""
    return {name: suggest(trial, name, allowed) for name, allowed in space.items()}


def suggest(trial: optuna.Trial, name: str, allowed: Any) -> Any:
    if isinstance(allowed, list):
        return json.loads(trial.suggest_categorical(name, [json.dumps(choice) for choice in allowed]))
    drawn = trial.suggest_float(name, allowed.low, allowed.high, log=isinstance(allowed, LogRange))
    return min(max(float(f"{drawn:.{DIGITS}g}"), allowed.low), allowed.high)


def enqueue_present(study: optuna.Study, space: dict[str, Any], spec: PipelineSpec) -> dict[str, Any]:
    """Let the next trial have the declared values of the settings in `space`; returns those that lie in it.

    The sampler learns nothing about a declared value that lies outside of what may be tried.
    """
    inside = {name: allowed for name, allowed in space.items() if may_be_tried(allowed, value_of(spec, name))}
    values = {name: value_of(spec, name) for name in inside}
    # A run may have been killed right after this, and left the trial waiting.
    waiting = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,))
    if not waiting:
        study.enqueue_trial(
            {
                name: json.dumps(value) if isinstance(inside[name], list) else value
                for name, value in values.items()
            }
        )
    return inside


def may_be_tried(allowed: Any, value: Any) -> bool:
    return value in allowed if isinstance(allowed, list) else allowed.low <= value <= allowed.high
