"""What methods share that combine the gradients of the tasks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mtl_pipeline.learning.balancing.base import Balancer, trunk_gradients
from mtl_pipeline.spec import Task

LATEST = 0.05
"""What the last batch counts for in the weights that are told."""


class GradientBalancer(Balancer):
    """Combines the gradients of the tasks' losses, times declared weights, at the trunk. Layers below learn by the
    combined one, those of single tasks above by their plain ones. So does what gates read beside the trunk: by this
    narrow path, the representation gets plain gradients too.

    Each step brings the Gramian to the CPU, where problems of so few numbers take a fraction of a millisecond.
    """

    factors: Tensor

    def remember(self, tasks: Sequence[Task]) -> None:
        self.register_buffer("factors", torch.ones(len(tasks)))

    @abstractmethod
    def combine(self, gramian: Tensor) -> Tensor | np.ndarray:
        """The weights [n] of n gradients, two or more; 1 where the method has nothing to change. `gramian`: float64
        [n, n] on the CPU, their inner products, scaled to a mean squared length of 1; no gradient is 0."""

    def backward(self, losses: Tensor, shared: Tensor) -> None:
        weighted = self.declared * losses
        gradients = trunk_gradients(weighted, shared)
        gramian = (gradients @ gradients.T).double().cpu()
        balanced = self.balanced(losses).cpu() & (gramian.diagonal() > 0)
        weights, among = torch.ones(len(losses), dtype=gramian.dtype), balanced.nonzero()[:, 0]
        if len(among) > 1 and gramian.isfinite().all():  # what is not finite is for the loop to find
            theirs = gramian[among][:, among]
            weights[among] = torch.as_tensor(self.combine(theirs / theirs.diagonal().mean()))
        weights, balanced = weights.to(gradients), balanced.to(gradients.device)
        combined = (weights @ gradients).view_as(shared).to(shared.dtype)
        replaced = shared.register_hook(lambda plain: combined)
        weighted.sum().backward()
        replaced.remove()
        self.factors = torch.where(balanced, self.factors.lerp(weights, LATEST), self.factors)

    def weights(self) -> Tensor:
        """At the trunk, as a moving average over batches."""
        return self.declared * torch.where(self.learning, self.factors, 1.0)


def square_root(gramian: Tensor) -> np.ndarray:
    """A matrix R [n, n] with RᵀR = Gramian: gradients in as few coordinates as there are tasks. By way of cosines,
    so that short ones keep their digits beside long ones."""
    lengths = gramian.diagonal().sqrt().numpy()
    values, vectors = np.linalg.eigh(gramian.numpy() / np.outer(lengths, lengths))
    return np.sqrt(values.clip(min=0))[:, None] * vectors.T * lengths
