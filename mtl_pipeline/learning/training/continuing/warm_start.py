"""Warm start (`training.warm_start`): training goes on from the weights of the champion, from night to night.

Half way from random weights to the champion's, that is: networks that start with the weights of one that was trained on
nearly the same rows end worse than those that start at random, and the more so the more nights follow each other; what
was shrunk and perturbed does not (Ash and Adams, NeurIPS 2020, https://arxiv.org/abs/1910.08475).

The champion comes after the model in the lineage, so this is a loop over time: a new champion makes no model out of
date. Optimisers, balancer and best rounds begin anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mtl_pipeline.champions import champion_folder, reading_model, short
from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.network import MultiTaskNetwork
from mtl_pipeline.learning.ranker.provenance import leak, read_seen
from mtl_pipeline.learning.ranker.ranker import CONFIG, LabelScale, load_ranker, readable
from mtl_pipeline.learning.training.continuing.carrying_over import carried_over
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec

KEPT = 0.5
"""The champion's share of the weights that training starts with; random ones have the rest."""


@dataclass(frozen=True)
class WarmStart:
    """What a network begins with in place of random weights."""

    champion: str
    """Fingerprint."""
    seen: dict[str, Any]
    """Which rows the champion has seen: what `write_seen` inherits."""
    weights: dict[str, Tensor]
    scale: LabelScale
    """Of the labels that the champion learned."""

    def into(self, network: MultiTaskNetwork, scale: LabelScale, kept: float = KEPT) -> None:
        """Bring a random network towards the champion; where all is `kept`, it predicts as that does. `scale`: of the
        labels that it is to learn."""
        random = [parameter.detach().clone() for parameter in network.parameters()]
        network.load_state_dict(self.weights)
        then = zip(self.scale.mean, self.scale.standard_deviation, strict=True)
        now = zip(scale.mean, scale.standard_deviation, strict=True)
        for tower, (mean, deviation), (new_mean, new_deviation) in zip(
            network.towers, then, now, strict=True
        ):
            tower.get_parameter("1.weight").data.mul_(deviation / new_deviation)
            bias = tower.get_parameter("1.bias").data
            bias.mul_(deviation / new_deviation).add_((mean - new_mean) / new_deviation)
        torch._foreach_lerp_([parameter.data for parameter in network.parameters()], random, 1 - kept)


def warm_starts(
    paths: PipelinePaths, spec: PipelineSpec, dataset: Dataset, log: Callable[[str], None]
) -> list[WarmStart]:
    """One of each of the champion's networks for all tasks. None, and a line in the log that says why, where there is
    no champion, or it cannot be read, has other settings of `model`, tasks or inputs, or has seen what it must not."""
    if not spec.training.warm_start:
        return []
    try:
        starts = starts_of_champion(paths, spec, dataset)
    except UserError as error:
        log(f"no warm start, training starts with random weights: {error}")
        return []
    log(f"warm start: training goes on from champion {short(starts[0].champion)}")
    return starts


def starts_of_champion(paths: PipelinePaths, spec: PipelineSpec, dataset: Dataset) -> list[WarmStart]:
    """Raises UserError where training cannot, or must not, go on from the champion."""
    champion, folder = champion_folder(paths)
    with reading_model(folder) as version, readable(folder):
        ranker, encoder = load_ranker(folder, spec, dataset.text)
        config, seen = CONFIG.validate_json((version / "config.json").read_bytes()), read_seen(version)
    then, now = (
        (known.numeric_names, *known.statistics["transform"]) for known in (encoder, dataset.encoder)
    )
    others = config.model.model_dump() != spec.model.model_dump()
    obstacles = [
        "has other settings of model" if others else "",
        "reads other numbers" if then != now or config.shape.sides != dataset.encoder.sides else "",
        leak(seen, spec, dataset.split("validation", "test")),
    ]
    if any(obstacles):
        raise UserError(f"champion {short(champion)} {' and '.join(filter(None, obstacles))}")
    with readable(folder):
        return [
            WarmStart(
                champion,
                seen | {"champion": champion},
                carried_over(member.network, encoder, dataset),
                ranker.scale,
            )
            for member in ranker.joint.members
        ]
