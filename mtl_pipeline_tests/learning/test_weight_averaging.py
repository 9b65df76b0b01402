"""The moving average of the weights, which of id tables looks at the rows that batches touch."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from mtl_pipeline.learning.network import MultiTaskNetwork
from mtl_pipeline.learning.representation.representation import NetworkShape
from mtl_pipeline.learning.training.callbacks.base import Run
from mtl_pipeline.learning.training.callbacks.weight_averaging import STEPS_BETWEEN, WeightAveraging
from mtl_pipeline.spec import Model
from mtl_pipeline_tests.learning.networks import FIELDS, ITEMS, OUTPUTS, USERS, rows


@pytest.fixture
def network() -> MultiTaskNetwork:
    shape = NetworkShape({"user_id": USERS, "item_id": ITEMS}, FIELDS, numerics=2, outputs=OUTPUTS)
    network = MultiTaskNetwork(Model(hidden=[4], tower=[]), shape, {})
    for parameter in network.parameters():
        parameter.data.zero_()
    return network


def started(network: MultiTaskNetwork) -> WeightAveraging:
    average = WeightAveraging()
    average.start(Run(network, [], rows(), rows_per_round=1, seed=0))
    return average


def set_to(network: MultiTaskNetwork, value: float, users: Sequence[int]) -> None:
    """As a step that touches some users and leaves the items alone."""
    table, _ = network.representation.tables
    table.data[users] = value
    gradient = torch.ones(len(users), table.shape[1])
    table.grad = torch.sparse_coo_tensor(torch.tensor([users]), gradient, table.shape, check_invariants=True)
    bias(network).fill_(value)


def bias(network: MultiTaskNetwork) -> Tensor:
    return network.towers[0].get_parameter("1.bias").data


def test_averages_lag_behind_and_can_be_swapped_in(network: MultiTaskNetwork) -> None:
    average = started(network)
    for _ in range(STEPS_BETWEEN):
        set_to(network, 1.0, [2])
        average.after_step()
    table = network.representation.tables[0].data
    with average.validating():
        assert bias(network).item() == pytest.approx(1 - 1 / 11)
        assert table[2].tolist() == pytest.approx([1 - 1 / 11] * table.shape[1])
        assert table[3].tolist() == [0.0] * table.shape[1]
    assert bias(network).item() == 1.0
    assert table[2].tolist() == [1.0] * table.shape[1]


def test_a_row_that_every_update_touches_is_averaged_as_any_other_weight(network: MultiTaskNetwork) -> None:
    average = started(network)
    for step in range(7 * STEPS_BETWEEN):
        set_to(network, step / 10, [1, 4])
        average.after_step()
    with average.validating():
        table = network.representation.tables[0].data
        assert table[4, 0].item() == pytest.approx(bias(network).item())


def test_a_row_that_is_left_alone_ends_at_its_value(network: MultiTaskNetwork) -> None:
    average = started(network)
    for step in range(100 * STEPS_BETWEEN):
        set_to(network, 3.0, [1] if step < STEPS_BETWEEN else [4])
        average.after_step()
    with average.validating():
        assert network.representation.tables[0][1, 0].item() == pytest.approx(3.0, rel=1e-3)


def test_an_interrupted_average_goes_on(network: MultiTaskNetwork) -> None:
    average = started(network)
    for step in range(STEPS_BETWEEN + 3):  # in the middle between two updates
        set_to(network, float(step), [step % 3 + 1])
        average.after_step()
    resumed = started(network)
    resumed.load_state_dict(average.state_dict())
    for one in (average, resumed):
        for _ in range(STEPS_BETWEEN):
            set_to(network, 5.0, [2])
            one.after_step()
    for table, of_resumed in zip(average.tables, resumed.tables, strict=True):
        table.settle()
        of_resumed.settle()
        assert torch.equal(table.average, of_resumed.average)
