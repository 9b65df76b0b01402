"""What architectures are built of: MLPs, experts, and mixtures of these."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class MLP(nn.Sequential):
    """A multilayer perceptron, ReLU and dropout behind each layer: float32 [rows, widths[0]] → [rows, widths[-1]]."""

    def __init__(self, widths: Sequence[int], dropout: float = 0.0) -> None:
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise(widths):
            layers += [nn.Linear(width_in, width_out), nn.ReLU(inplace=True), nn.Dropout(dropout)]
        super().__init__(*layers)


class Experts(nn.Module):
    """Several MLPs of one shape, computed as one batched product per layer."""

    def __init__(self, width: int, hidden: Sequence[int], dropout: float, count: int) -> None:
        super().__init__()
        self.count = count
        self.first = nn.Linear(width, count * hidden[0])
        self.deeper = nn.ParameterList()
        self.biases = nn.ParameterList()
        for width_in, width_out in pairwise(hidden):
            weight = torch.empty(count, width_in, width_out)
            for expert in weight:
                nn.init.kaiming_uniform_(expert.T, a=5**0.5)
            self.deeper.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter(torch.zeros(count, 1, width_out)))
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor) -> Tensor:
        """float32 [rows, width], or [experts, rows, width] where their inputs differ → [experts, rows, hidden[-1]]."""
        if inputs.dim() == 2:
            hidden = functional.relu_(self.first(inputs)).view(len(inputs), self.count, -1).transpose(0, 1)
        else:
            weight = self.first.weight.view(self.count, -1, inputs.shape[-1]).transpose(1, 2)
            hidden = functional.relu_(torch.baddbmm(self.first.bias.view(self.count, 1, -1), inputs, weight))
        hidden = self.dropout(hidden)
        for weight, bias in zip(self.deeper, self.biases, strict=True):
            hidden = self.dropout(functional.relu_(torch.baddbmm(bias, hidden, weight)))
        return hidden


def gate(logits: Tensor) -> Tensor:
    """The softmax over the last dimension: [rows, tasks, experts]. Taken over the middle one, which is ten times as
    fast where experts are few."""
    return logits.permute(1, 2, 0).contiguous().softmax(1).permute(2, 0, 1)


def mix(experts: Tensor, weights: Tensor) -> list[Tensor]:
    """Experts float32 [experts, rows, hidden] and weights [rows, tasks, experts] → mixture by task, [rows, hidden].
    Three times as fast as a small matrix product for each row, forwards and backwards."""
    return [(experts * weights[:, task].T.unsqueeze(-1)).sum(0) for task in range(weights.shape[1])]
