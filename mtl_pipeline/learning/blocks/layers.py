"""What architectures are built of: MLPs, experts, and mixtures of these."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

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
    """Several MLPs of one shape, computed side by side."""

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
            hidden = functional.relu_(self.first(inputs)).view(len(inputs), self.count, -1)
        else:
            weight = self.first.weight.view(self.count, -1, inputs.shape[-1]).transpose(1, 2)
            hidden = grouped(inputs.transpose(0, 1), weight, self.first.bias.view(self.count, 1, -1))
        hidden = self.dropout(hidden)
        for weight, bias in zip(self.deeper, self.biases, strict=True):
            hidden = self.dropout(grouped(hidden, weight, bias))
        return hidden.transpose(0, 1)


def grouped(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A layer for each group: [rows, groups, width], [groups, width, outputs] and [groups, 1, outputs] → [rows, groups,
    outputs], after ReLU."""
    if torch.is_autocast_enabled(inputs.device.type):
        precision = torch.get_autocast_dtype(inputs.device.type)
        inputs, weight, bias = inputs.to(precision), weight.to(precision), bias.to(precision)
    return GroupedLayer.apply(inputs, weight, bias)


class GroupedLayer(torch.autograd.Function):
    """A matrix product for each group, out of its columns and into them. One product of batched matrices would copy
    what it reads and hands back, to have groups before rows: in bfloat16 that is a third of the time."""

    @staticmethod
    def forward(context: Any, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        outputs = inputs.new_empty(len(inputs), len(weight), weight.shape[2])
        for group in range(len(weight)):
            torch.addmm(bias[group], inputs[:, group], weight[group], out=outputs[:, group])
        context.save_for_backward(inputs, weight, outputs.relu_())
        return outputs

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        inputs, weight, outputs = context.saved_tensors
        gradient = torch.ops.aten.threshold_backward(gradient, outputs, 0)
        of_inputs, of_weight = torch.empty_like(inputs), torch.empty_like(weight)
        for group in range(len(weight)):
            torch.mm(gradient[:, group], weight[group].T, out=of_inputs[:, group])
            torch.mm(inputs[:, group].T, gradient[:, group], out=of_weight[group])
        return of_inputs, of_weight, gradient.sum(0).unsqueeze(1)


def gate(logits: Tensor) -> Tensor:
    """The softmax over the last dimension: [rows, tasks, experts]. Taken over the middle one, which is ten times as
    fast where experts are few."""
    return logits.permute(1, 2, 0).contiguous().softmax(1).permute(2, 0, 1)


def mix(experts: Tensor, weights: Tensor) -> list[Tensor]:
    """Experts float32 [experts, rows, hidden] and weights [rows, tasks, experts] → mixture by task, [rows, hidden].
    Fast where the experts lie side by side in memory, as Experts leaves them."""
    side_by_side = experts.transpose(0, 1)
    if experts.is_cuda or experts.element_size() < 4:  # where the way below was not measured
        return list(torch.bmm(weights, side_by_side).unbind(1))
    return list(Mixing.apply(side_by_side, weights))


class Mixing(torch.autograd.Function):
    """Expert by expert: products of matrices as small as those of a row take a CPU two to five times as long."""

    @staticmethod
    def forward(context: Any, experts: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        """[rows, experts, hidden] and [rows, tasks, experts] → [rows, hidden] of each task."""
        context.save_for_backward(experts, weights)
        return tuple(
            weighted_sum(experts.unbind(1), weights[:, task].unbind(1)) for task in range(weights.shape[1])
        )

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        experts, weights = context.saved_tensors
        of_experts = [weighted_sum(gradients, of_expert.unbind(1)) for of_expert in weights.unbind(2)]
        of_weights = [(experts * gradient.unsqueeze(1)).sum(2) for gradient in gradients]
        return torch.stack(of_experts, 1), torch.stack(of_weights, 1)


def weighted_sum(parts: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """[rows, width] each and [rows] each → [rows, width]."""
    first, *others = zip(parts, (weight.unsqueeze(1) for weight in weights), strict=True)
    total = first[0] * first[1]
    for part, weight in others:
        total.addcmul_(part, weight)
    return total
