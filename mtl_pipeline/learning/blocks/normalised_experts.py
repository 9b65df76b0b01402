"""Experts with normalised layers: HoME (Wang et al. 2024, https://arxiv.org/abs/2408.05430), who found experts of
production mixtures to collapse: ReLU had silenced most of their units, and scales differed so much that gates heard the
loudest alone."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from mtl_pipeline.learning.blocks.layers import Experts
from mtl_pipeline.spec import MMoESettings


class NormalisedExperts(Experts):
    """As Experts, with batch normalisation (Ioffe and Szegedy, ICML 2015, https://arxiv.org/abs/1502.03167) and SiLU in
    place of bias and ReLU."""

    def __init__(self, width: int, hidden: Sequence[int], dropout: float, count: int) -> None:
        super().__init__(width, hidden, dropout, count)
        self.first.register_parameter("bias", None)
        self.biases = nn.ParameterList()
        self.norms = nn.ModuleList(nn.BatchNorm1d(count * width_out) for width_out in hidden)

    def forward(self, inputs: Tensor) -> Tensor:
        """float32 [rows, width], or [experts, rows, width] where their inputs differ → [experts, rows, hidden[-1]]."""
        if inputs.dim() == 2:
            hidden = self.activated(self.norms[0], self.first(inputs))
        else:
            weight = self.first.weight.view(self.count, -1, inputs.shape[-1])
            hidden = self.activated(self.norms[0], side_by_side(inputs @ weight.mT))
        for norm, weight in zip(self.norms[1:], self.deeper, strict=True):
            hidden = self.activated(norm, side_by_side(hidden @ weight))
        return hidden

    def activated(self, norm: nn.Module, hidden: Tensor) -> Tensor:
        """float32 [rows, experts × width] → [experts, rows, width]."""
        assert isinstance(norm, nn.BatchNorm1d)
        statistics = norm.running_mean, norm.running_var, norm.weight, norm.bias
        of_batch = norm.training and len(hidden) > 1  # a batch of one row has no variance
        hidden = functional.batch_norm(hidden, *statistics, of_batch, 0.1, norm.eps)
        hidden = self.dropout(functional.silu(hidden))
        return hidden.view(len(hidden), self.count, -1).transpose(0, 1)


def side_by_side(hidden: Tensor) -> Tensor:
    """[experts, rows, width] → [rows, experts × width]."""
    return hidden.transpose(0, 1).flatten(1)


def make_experts(width: int, settings: MMoESettings, count: int) -> Experts:
    kind = NormalisedExperts if settings.expert_normalisation == "batch" else Experts
    return kind(width, settings.hidden, settings.dropout, count)
