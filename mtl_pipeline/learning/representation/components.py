"""Leading principal components of text vectors, and whitening (Su et al. 2021, https://arxiv.org/abs/2103.15316).

They are fitted to the texts of training rows and saved with the network, so that whoever predicts reads texts alike.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtl_pipeline.spec import Model

AT_ONCE = 65_536
"""Vectors that are looked at together: 100 MB at 384 dimensions."""
NO_VARIANCE = 1e-6
"""Of the largest variance; components with less are 0, because whitening would blow up what rounding left of them."""


class Components(nn.Module):
    """Zero, which stands for no text, takes no part in the fit and stays zero."""

    mean: Tensor
    axes: Tensor

    def __init__(self, dimension: int, components: int | None = None, whitened: bool = False) -> None:
        """`components`: at most so many, by default all; `whitened`: with variance 1 each."""
        super().__init__()
        self.width, self.whitened = min(components or dimension, dimension), whitened
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("axes", torch.zeros(dimension, self.width))

    @classmethod
    def of(cls, model: Model, dimension: int) -> Components | None:
        """None where the network reads text vectors as they are."""
        reduced = model.text_components or model.text_whitened
        return cls(dimension, model.text_components, model.text_whitened) if reduced else None

    def fit(self, vectors: Tensor, rows: Tensor) -> None:
        """To some rows, however often each is named, of float32 [texts, dimension]."""
        parts = rows.unique().long().split(AT_ONCE)
        some = vectors[parts[0]]
        centre = some.sum(0) / some.any(1).sum().clamp(
            min=1
        )  # near the mean: float32 multiplies small numbers
        total = torch.zeros_like(centre, dtype=torch.float64)
        products, texts = total.outer(total), 0
        for part in parts:
            some = vectors[part]
            some = some[some.any(1)] - centre
            total += some.sum(0, dtype=torch.float64)
            products += some.T @ some
            texts += len(some)
        beyond = total / max(1, texts)
        self.mean.copy_(centre + beyond)
        covariance = products / max(1, texts) - beyond.outer(beyond)
        variances, axes = (found.flip(-1)[..., : self.width] for found in torch.linalg.eigh(covariance))
        axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()  # either sign would do
        scale = variances.clamp(min=1e-30).rsqrt() if self.whitened else torch.ones_like(variances)
        self.axes.copy_(axes * scale * (variances > NO_VARIANCE * variances[0]))

    def forward(self, vectors: Tensor) -> Tensor:
        """float32 [texts, dimension] → [texts, width]."""
        moved = torch.addmm(-self.mean @ self.axes, vectors, self.axes)
        return moved.masked_fill_(~vectors.any(1, keepdim=True), 0.0)
