"""PCGrad, gradient surgery (Yu et al., NeurIPS 2020, https://arxiv.org/abs/2001.06782): from each task's gradient, what
points against another's is taken away, one task after the other in random order."""

from __future__ import annotations

from torch import Tensor
from torchjd.aggregation import PCGradWeighting

from mtl_pipeline.learning.balancing.gradients.base import GradientBalancer


class GradientSurgery(GradientBalancer):
    """The sum of the projected gradients."""

    def combine(self, gramian: Tensor) -> Tensor:
        return PCGradWeighting()(gramian)
