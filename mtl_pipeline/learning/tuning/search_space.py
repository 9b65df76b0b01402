"""The settings that a search may change: how a trial draws their values, and the specification with those values."""

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
        "text_dropout": spec.text_tables,
        # The interaction of user and item has that width too, even of ids alone.
        "text_dimension": spec.text_tables or len(spec.ids) == 2,
        "categorical_dimension": spec.categorical_features,
    }
    return {
        name: allowed for name, allowed in spec.tuning.space(architecture).items() if inputs.get(name, True)
    }


def settings_of(spec: PipelineSpec) -> dict[str, Any]:
    """The values of `model` and `training`, also of those that are not written where they are as usual."""
    sections = spec.model, spec.training
    return {name: getattr(section, name) for section in sections for name in type(section).model_fields}


def with_settings(spec: PipelineSpec, values: dict[str, Any]) -> PipelineSpec:
    """The specification with other values in `model` and `training`."""
    settings = settings_of(spec) | values
    sections = {
        name: section.model_validate({key: settings[key] for key in section.model_fields if key in settings})
        for name, section in (("model", Model), ("training", Training))
    }
    return spec.model_copy(update=sections)


def suggest_values(trial: optuna.Trial, space: dict[str, Any]) -> dict[str, Any]:
    """A value of each setting in `space` (see search_space), drawn by the study's sampler."""
    return {name: suggest(trial, name, allowed) for name, allowed in space.items()}


def suggest(trial: optuna.Trial, name: str, allowed: Any) -> Any:
    if isinstance(allowed, list):
        return json.loads(trial.suggest_categorical(name, [json.dumps(choice) for choice in allowed]))
    drawn = trial.suggest_float(name, allowed.low, allowed.high, log=isinstance(allowed, LogRange))
    return min(max(float(f"{drawn:.{DIGITS}g}"), allowed.low), allowed.high)


def enqueue_declared(study: optuna.Study, space: dict[str, Any], spec: PipelineSpec) -> dict[str, Any]:
    """Let the next trial have the declared values of the settings in `space`; returns those whose declared value may be
    tried. The sampler learns nothing about the others."""
    declared = settings_of(spec)
    inside = {
        name: allowed
        for name, allowed in space.items()
        if (
            declared[name] in allowed
            if isinstance(allowed, list)
            else allowed.low <= declared[name] <= allowed.high
        )
    }
    # A run may have been killed right after this, and left the trial waiting.
    if not study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,)):
        study.enqueue_trial(
            {
                name: json.dumps(declared[name]) if isinstance(allowed, list) else declared[name]
                for name, allowed in inside.items()
            }
        )
    return inside
