"""How task losses become one."""

from __future__ import annotations

import pytest
import torch

from mtl_pipeline.learning.balancing.weighting import WEIGHTINGS, observed_shares
from mtl_pipeline.spec import Task

TASKS = [
    Task(name="click", kind="binary", weight=2.0),
    Task(name="rating", kind="regression", weight=0.5),
]
LOSSES = torch.tensor([0.4, 3.0])


def test_static_weights_are_the_declared_ones() -> None:
    assert WEIGHTINGS["static"](TASKS)(LOSSES).item() == pytest.approx(2 * 0.4 + 0.5 * 3.0)


@pytest.mark.parametrize("name", ["static", "uncertainty"])
def test_where_labels_count_alike_the_total_is_the_loss_of_all_labels_over_the_rows(name: str) -> None:
    """Four rows, all with a click and one with a rating: the rating counts as one of five labels."""
    labels = torch.tensor([[1.0, torch.nan], [0.0, torch.nan], [0.0, 2.0], [1.0, torch.nan]])
    shares = observed_shares(labels)
    assert shares.tolist() == [1.0, 0.25]
    plain = [Task(name=task.name, kind=task.kind) for task in TASKS]
    by_row = torch.tensor([[0.2, torch.nan], [0.6, torch.nan], [0.3, 3.0], [0.5, torch.nan]])
    scale = torch.tensor([1.0, 0.5 if name == "uncertainty" else 1.0])
    expected = (by_row * scale).nansum() / 4
    total = WEIGHTINGS[name](plain, shares)(by_row.nanmean(0))
    assert total.item() == pytest.approx(expected.item())


def test_uncertainty_follows_kendall_by_hand() -> None:
    weighting = WEIGHTINGS["uncertainty"](TASKS)
    weighting.get_parameter("log_variance").data = torch.tensor([0.0, 1.0])
    expected = 2 * 0.4 + 0.5 * (3.0 / 2 * torch.e**-1 + 1 / 2)
    assert weighting(LOSSES).item() == pytest.approx(expected, rel=1e-5)


def test_uncertainty_learns_the_variance_of_the_squared_error() -> None:
    """At the optimum, exp(log variance) is the mean squared error itself."""
    weighting = WEIGHTINGS["uncertainty"](TASKS)
    optimizer = torch.optim.Adam(weighting.parameters(), lr=0.05)
    for _ in range(500):
        optimizer.zero_grad()
        weighting(LOSSES).backward()
        optimizer.step()
    assert weighting.get_parameter("log_variance").exp()[1].item() == pytest.approx(3.0, rel=0.02)
    assert weighting.weights()[1] < weighting.weights()[0]
