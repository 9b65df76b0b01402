"""Losses whose values and gradients are given: what a balancer makes of them can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from mtl_pipeline.learning.balancing import BALANCERS, Balancer
from mtl_pipeline.spec import Task, WeightingSettings

FACTOR_METHODS = ["static", "uncertainty", "dwa", "imtl_l", "famo", "gradnorm", "db_mtl"]
GRADIENT_METHODS = ["mgda", "pcgrad", "cagrad", "nash_mtl", "aligned_mtl", "upgrad"]


class Step(NamedTuple):
    """The gradients that a batch left."""

    below: list[float]
    """Below the trunk, where it is the trunk's own."""
    towers: list[float]
    """Of each task's own layers, by which its loss has the slope 1."""


def balancer_of(name: str, *weights: float, **settings: object) -> Balancer:
    """Of as many binary tasks as there are weights."""
    tasks = [Task(name=f"task_{place}", kind="binary", weight=weight) for place, weight in enumerate(weights)]
    return BALANCERS[name](tasks, None, WeightingSettings.model_validate(settings))


def step(balancer: Balancer, losses: Sequence[float], gradients: Sequence[Sequence[float]]) -> Step:
    """A batch with these losses, which have these gradients at the trunk; those that have none are absent from it."""
    below, towers = torch.zeros(2, requires_grad=True), torch.zeros(len(losses), requires_grad=True)
    trunk = below * 1.0
    slopes = torch.tensor([gradient or [0.0, 0.0] for gradient in gradients])
    own = towers * torch.tensor([1.0 if gradient else 0.0 for gradient in gradients])
    balancer.zero_grad()
    balancer.backward(torch.tensor(losses) + slopes @ trunk + own, trunk)
    assert below.grad is not None
    assert towers.grad is not None
    return Step(below.grad.tolist(), towers.grad.tolist())
