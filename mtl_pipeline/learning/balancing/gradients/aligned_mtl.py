"""Aligned-MTL, independent component alignment (Senushkin et al., CVPR 2023, https://arxiv.org/abs/2305.19000): the
nearest gradients that are orthogonal to each other and all as long as the least principal component."""

from __future__ import annotations

from torch import Tensor
from torchjd.aggregation import AlignedMTLWeighting

from mtl_pipeline.learning.balancing.gradients.base import GradientBalancer


class AlignedComponents(GradientBalancer):
    """The sum of the aligned gradients."""

    def combine(self, gramian: Tensor) -> Tensor:
        return len(gramian) * AlignedMTLWeighting()(gramian)
