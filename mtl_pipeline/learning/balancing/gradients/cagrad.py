"""CAGrad, conflict-averse gradient descent (Liu et al., NeurIPS 2021, https://arxiv.org/abs/2110.14048): in a ball
around the mean gradient, the one that is best for the task that gains least by it."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from torch import Tensor

from mtl_pipeline.learning.balancing.gradients.base import GradientBalancer

LEAST = 1e-12
"""Of a squared length: below, tasks cannot all gain."""


class ConflictAverse(GradientBalancer):
    """The mean, and from there as far as `conflict_aversion` lets towards the mixture w of the gradients, Σ w = 1, that
    minimises <mixture, mean> + aversion · |mean| · |mixture|. Divided by 1 + aversion, so that
    gradients that agree stay as they are."""

    def combine(self, gramian: Tensor) -> np.ndarray:
        gram, tasks, aversion = gramian.numpy(), len(gramian), self.settings.conflict_aversion
        towards_mean, radius = gram.mean(1), aversion * np.sqrt(max(gram.mean(), 0.0))

        def cost(mixture: np.ndarray) -> tuple[float, np.ndarray]:
            products = gram @ mixture
            length = np.sqrt(max(mixture @ products, LEAST))
            return towards_mean @ mixture + radius * length, towards_mean + radius * products / length

        mixture = minimize(
            cost,
            np.full(tasks, 1 / tasks),
            jac=True,
            method="SLSQP",
            bounds=[(0.0, 1.0)] * tasks,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
            options={"ftol": 1e-9},
        ).x
        length = np.sqrt(max(mixture @ gram @ mixture, LEAST))
        return (1 + tasks * radius / length * mixture) / (1 + aversion)
