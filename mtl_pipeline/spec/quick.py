"""A first look (`make run QUICK=1`): the same pipeline learns from fewer rows, less long, beside fewer baselines.

What is made up to the examples stays as declared, and so do the test rows.
"""

from __future__ import annotations

import os
from typing import ClassVar

from mtl_pipeline.errors import UserError
from mtl_pipeline.spec.base import SpecModel
from mtl_pipeline.spec.pipeline import PipelineSpec

QUICK_VARIABLE = "MTL_PIPELINE_QUICK"
"""Set to 1, all that this process and its children run is quick."""
MOST = {
    "training": {"rows": 100_000, "epochs": 3, "patience": 2, "members": 1, "warm_start": False},
    "evaluation": {"bootstrap_samples": 100, "seeds": 1},
}
"""By section, keys and their highest values."""


class QuickSpec(PipelineSpec):
    """What a first look runs."""

    is_quick: ClassVar[bool] = True


def as_asked(spec: PipelineSpec) -> PipelineSpec:
    """The specification as declared, or for a first look where the environment asks for one."""
    return quick(spec) if os.environ.get(QUICK_VARIABLE, "0") not in ("", "0") else spec


def refuse_quick(spec: PipelineSpec) -> None:
    """Raises UserError where a first look is asked for a study, whose result would pass for a full one."""
    if spec.is_quick:
        raise UserError("QUICK=1 has no studies: backtest, tuning and seed_runs are made without it")


def quick(spec: PipelineSpec) -> QuickSpec:
    """Without networks for single tasks, and so without a guard; the rest as `MOST` limits it."""
    models = [name for name in spec.baselines.models if name != "single_task"]
    sections: dict[str, SpecModel] = {"baselines": spec.baselines.model_copy(update={"models": models})}
    for name, limits in MOST.items():
        section = getattr(spec, name)
        declared = {key: getattr(section, key) for key in limits}
        fewer = {key: min(declared[key] or most, most) for key, most in limits.items()}
        sections[name] = section.model_copy(update=fewer)
    return QuickSpec.model_construct(
        **{name: getattr(spec, name) for name in PipelineSpec.model_fields} | sections
    )
