"""Nash-MTL, multi-task learning as a bargaining game (Navon et al., ICML 2022, https://arxiv.org/abs/2202.01017): the
gradient on which tasks agree that each want the logarithm of their gain as large as can be. Neither the sizes of losses
nor declared weights change what it is proportional to."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from mtl_pipeline.learning.balancing.gradients.base import GradientBalancer

RIDGE = 1e-4
"""By which squared lengths are raised: gradients that point against each other have no agreement, and no finite
weights."""
STEPS = 50


class Bargaining(GradientBalancer):
    """Weights with Gramian · weights = 1 / weights.

    They minimise wᵀ·Gramian·w / 2 - Σ log w, which is convex and self-concordant: so damped Newton steps end there, and
    the paper's sequence of approximations is not needed. With a mean squared length of 1, they combine the gradients
    to one that is as long as all of them, were they orthogonal.
    """

    def combine(self, gramian: Tensor) -> np.ndarray:
        gram = gramian.numpy() * (1 + RIDGE * np.eye(len(gramian)))
        weights = np.diag(gram) ** -0.5
        for _ in range(STEPS):
            slope = gram @ weights - 1 / weights
            step = np.linalg.solve(gram + np.diag(weights**-2), slope)
            decrement = np.sqrt(step @ slope)
            weights = weights - step / (1 + decrement)  # at most to the border of what is positive
            if decrement < 1e-6:
                break
        return weights
