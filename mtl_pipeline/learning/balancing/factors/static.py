"""Static weights: the weighted sum of the losses, also called linear scalarisation. With well-chosen weights it is hard
to beat (Kurin et al., NeurIPS 2022, https://arxiv.org/abs/2201.04122)."""

from __future__ import annotations

from torch import Tensor

from mtl_pipeline.learning.balancing.base import Balancer


class StaticWeighting(Balancer):
    """Each loss counts by its declared weight."""

    def backward(self, losses: Tensor, shared: Tensor) -> None:
        (self.weights() * losses).sum().backward()
