"""The optimiser of id tables, beside torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mtl_pipeline.learning.training.optimisation.row_adam import RowAdam


def test_rows_move_as_with_sparse_adam() -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.Embedding(50, 4, sparse=True) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    optimizers = (RowAdam(ours.parameters(), lr=0.01), torch.optim.SparseAdam(theirs.parameters(), lr=0.01))
    for _ in range(30):
        ids, targets = torch.randint(50, (16,)), torch.randn(16, 4)  # some ids several times
        for table, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            (table(ids) - targets).square().sum().backward()
            optimizer.step()
    assert ours.weight.flatten().tolist() == pytest.approx(theirs.weight.flatten().tolist(), abs=1e-6)


def test_rows_without_a_gradient_stay_as_they_are() -> None:
    table = nn.Embedding(10, 2, sparse=True)
    before = table.weight.detach().clone()
    optimizer = RowAdam(table.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        table(torch.tensor([4, 7])).sum().backward()
        optimizer.step()
    moved = (table.weight != before).any(1).nonzero().flatten()
    assert moved.tolist() == [4, 7]
