"""The balancing methods by the name that `training.weighting` has for them: one line each."""

from collections.abc import Sequence

from torch import Tensor

from mtl_pipeline.learning.balancing.base import Balancer
from mtl_pipeline.learning.balancing.factors.db_mtl import DualBalancing
from mtl_pipeline.learning.balancing.factors.dwa import DynamicWeightAverage
from mtl_pipeline.learning.balancing.factors.famo import FastAdaptive
from mtl_pipeline.learning.balancing.factors.gradnorm import GradNorm
from mtl_pipeline.learning.balancing.factors.imtl_l import ImpartialLosses
from mtl_pipeline.learning.balancing.factors.static import StaticWeighting
from mtl_pipeline.learning.balancing.factors.uncertainty import UncertaintyWeighting
from mtl_pipeline.learning.balancing.gradients.aligned_mtl import AlignedComponents
from mtl_pipeline.learning.balancing.gradients.cagrad import ConflictAverse
from mtl_pipeline.learning.balancing.gradients.mgda import MultipleGradientDescent
from mtl_pipeline.learning.balancing.gradients.nash_mtl import Bargaining
from mtl_pipeline.learning.balancing.gradients.pcgrad import GradientSurgery
from mtl_pipeline.learning.balancing.gradients.upgrad import Unconflicting
from mtl_pipeline.spec import Task, WeightingSettings

BALANCERS: dict[str, type[Balancer]] = {
    "static": StaticWeighting,
    "uncertainty": UncertaintyWeighting,
    "dwa": DynamicWeightAverage,
    "imtl_l": ImpartialLosses,
    "famo": FastAdaptive,
    "gradnorm": GradNorm,
    "db_mtl": DualBalancing,
    "mgda": MultipleGradientDescent,
    "pcgrad": GradientSurgery,
    "cagrad": ConflictAverse,
    "nash_mtl": Bargaining,
    "aligned_mtl": AlignedComponents,
    "upgrad": Unconflicting,
}


def make_balancer(tasks: Sequence[Task], shares: Tensor | None, settings: WeightingSettings) -> Balancer:
    """The method that is declared. A task alone has none beside it to be balanced with; only the scale of its noise is
    learned all the same where that is declared."""
    method = BALANCERS[settings.weighting]
    if len(tasks) == 1 and method is not UncertaintyWeighting:
        method = StaticWeighting
    return method(tasks, shares, settings)
