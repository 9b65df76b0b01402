"""UPGrad, unconflicting projection of gradients (Quinton and Rey, 2024, https://arxiv.org/abs/2406.16232): each task's
gradient is bent as little as lets it point against none, then they are added up."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor
from torchjd.aggregation import UPGradWeighting
from torchjd.linalg import DualConeProjector

from mtl_pipeline.learning.balancing.gradients.base import GradientBalancer, square_root


class LeastSquares(DualConeProjector):
    """Least v ≥ u by |Σ v·g|: v = u + z, where z ≥ 0 is a problem of non-negative least squares. So no solver of
    quadratic programs is needed beside scipy."""

    def __call__(self, U: Tensor, G: Tensor) -> Tensor:
        root = square_root(G)
        return torch.from_numpy(np.stack([u + nnls(root, -root @ u)[0] for u in U.numpy()]))


class Unconflicting(GradientBalancer):
    """The sum of the projected gradients."""

    def combine(self, gramian: Tensor) -> Tensor:
        return len(gramian) * UPGradWeighting(projector=LeastSquares())(gramian)
