"""How the tasks are balanced: the key `training.weighting`, and the settings of its methods."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mtl_pipeline.spec.base import SpecModel

Weighting = Literal[
    "static",
    "uncertainty",
    "dwa",
    "imtl_l",
    "famo",
    "gradnorm",
    "db_mtl",
    "mgda",
    "pcgrad",
    "cagrad",
    "nash_mtl",
    "aligned_mtl",
    "upgrad",
]

METHODS: dict[Weighting, str] = {
    "static": "by `weight` alone. When the weights are well chosen, hard to beat "
    "([Kurin et al., NeurIPS 2022](https://arxiv.org/abs/2201.04122)).",
    "uncertainty": "also by learned noise: for losses of different kinds and units "
    "([Kendall et al., CVPR 2018](https://arxiv.org/abs/1705.07115)).",
    "dwa": "more to tasks whose loss fell less from one validation round to the next: when some are done long before "
    "others ([Liu et al., CVPR 2019](https://arxiv.org/abs/1803.10704)).",
    "imtl_l": "learned factors that make all losses 1: for losses of very different sizes "
    "([Liu et al., ICLR 2021](https://openreview.net/forum?id=IMPnRXEWpvr)).",
    "famo": "learned factors that make all losses fall at the same relative pace: when one task is left behind, at the "
    "price of `static` ([Liu et al., NeurIPS 2023](https://arxiv.org/abs/2306.03792)).",
    "gradnorm": "learned factors that make gradients alike, longer for tasks that lag: when one task's gradients drown "
    "the others' ([Chen et al., ICML 2018](https://arxiv.org/abs/1711.02257)).",
    "db_mtl": "logarithms of the losses, with gradients made equally long: for losses and gradients of very different "
    "sizes ([Lin et al., 2023](https://arxiv.org/abs/2308.12029)).",
    "mgda": "the shortest mixture of the tasks' gradients, which hurts none and follows the shortest: when no task may "
    "lose ([Sener and Koltun, NeurIPS 2018](https://arxiv.org/abs/1810.04650)).",
    "pcgrad": "of each gradient, what points against another is taken away: when tasks conflict now and then "
    "([Yu et al., NeurIPS 2020](https://arxiv.org/abs/2001.06782)).",
    "cagrad": "near the mean gradient, what is best for the task that gains least: a compromise of `static` and `mgda` "
    "([Liu et al., NeurIPS 2021](https://arxiv.org/abs/2110.14048)).",
    "nash_mtl": "what the tasks would agree on in bargaining: when sizes of losses and weights shall not matter "
    "([Navon et al., ICML 2022](https://arxiv.org/abs/2202.01017)).",
    "aligned_mtl": "gradients made orthogonal and equally long: when both their conflicts and their lengths hurt "
    "([Senushkin et al., CVPR 2023](https://arxiv.org/abs/2305.19000)).",
    "upgrad": "the sum of gradients, each bent as little as lets it hurt no task: when no task may lose, but long "
    "gradients shall count ([Quinton and Rey, 2024](https://arxiv.org/abs/2406.16232)).",
}
"""What each method counts the tasks by, what for, and where it comes from; Markdown."""


class WeightingSettings(SpecModel):
    """The method and the settings of all, so that methods can be compared by changing one line."""

    weighting: Weighting = Field(
        default="uncertainty", json_schema_extra={"enumDescriptions": list(METHODS.values())}
    )
    """How the tasks are balanced: by factors on their losses (static to db_mtl), or by combining their gradients where
    the network parts into tasks (mgda to upgrad)."""
    temperature: float = Field(default=2.0, gt=0)
    """The higher, the more alike the tasks' factors; `dwa` only."""
    asymmetry: float = Field(default=1.5, ge=0)
    """How much longer the gradient of a task that lags is made; 0: all equally long; `gradnorm` only."""
    conflict_aversion: float = Field(default=0.5, ge=0, lt=1)
    """How far the combined gradient may go from the mean of all, as a share of its length; `cagrad` only."""
