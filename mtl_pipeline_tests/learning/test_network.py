"""The network: what each architecture shares, and what no task may see."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch

from mtl_pipeline.learning.architectures import ARCHITECTURES
from mtl_pipeline.learning.architectures.mmoe import MMoE
from mtl_pipeline.learning.architectures.ple import PLE
from mtl_pipeline.learning.architectures.shared_bottom import SharedBottom
from mtl_pipeline.learning.blocks.layers import Experts, grouped, mix
from mtl_pipeline.learning.data.encoding import CategoricalField, SideFeatures
from mtl_pipeline.learning.network import MultiTaskNetwork
from mtl_pipeline.learning.representation import parts as parts_of_a_representation
from mtl_pipeline.learning.representation.layout import Layout
from mtl_pipeline.learning.representation.lookup import look_up
from mtl_pipeline.learning.representation.numbers import BINS, PiecewiseEmbedding, bin_edges
from mtl_pipeline.learning.representation.representation import (
    CategoricalEmbedding,
    NetworkShape,
)
from mtl_pipeline.spec import Model
from mtl_pipeline.spec.architectures import SETTINGS, Architecture
from mtl_pipeline_tests.learning.networks import FIELDS, ITEMS, OUTPUTS, ROWS, USERS, moved, network, rows

LAYOUT = Layout(width=10, given=(None, None))


def test_every_architecture_that_can_be_declared_is_there() -> None:
    assert set(ARCHITECTURES) == set(SETTINGS) == set(get_args(Architecture))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_outputs_of_every_task_whatever_the_batch(architecture: str) -> None:
    model, batch = network(architecture), rows()
    outputs = model(batch)
    assert outputs.shape == (ROWS, sum(OUTPUTS))
    assert torch.allclose(torch.cat([model(batch[:4]), model(batch[4:])]), outputs, atol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_task_moves_the_shared_part_and_its_own_tower_only(architecture: str) -> None:
    model = network(architecture)
    model(rows())[:, 0].sum().backward()
    found = moved(model).keys()
    assert {name.split(".")[1] for name in found if name.startswith("towers.")} == {"0"}
    assert any(name.startswith("architecture.") for name in found) == (architecture != "linear")
    assert {
        f"representation.{name}.weight"
        for name in ("ids.user_id.table", "texts.item.project", "categorical.table")
    } <= found


@pytest.mark.parametrize("ids", [{}, {"user_id": USERS}, {"user_id": USERS, "item_id": ITEMS}])
@pytest.mark.parametrize("texts", [(), ("items",), ("users", "items")])
@pytest.mark.parametrize("text_dimension", [None, 4])
def test_ids_and_texts_are_optional(
    ids: dict[str, int], texts: tuple[str, ...], text_dimension: int | None
) -> None:
    model = Model(hidden=[6], tower=[], text_dimension=text_dimension)
    shape = NetworkShape(ids, FIELDS, numerics=2, outputs=OUTPUTS)
    made = MultiTaskNetwork(model, shape, {table: torch.randn(ITEMS, 8) for table in texts})
    batch = rows()
    batch = replace(batch, ids=batch.ids[:, : len(ids)], text=batch.text[:, : len(texts)])
    assert made(batch).shape == (ROWS, sum(OUTPUTS))
    both = ("user_id" in ids or "users" in texts) and ("item_id" in ids or "items" in texts)
    assert (made.representation.interaction is not None) == both


def test_the_interaction_reads_the_features_of_each_side_and_no_others() -> None:
    """A user's age with an item's price: a product that layers of sums learn slowly."""
    sides = {"user": SideFeatures(fields=(0,), numerics=(0,)), "item": SideFeatures(fields=(1,))}
    shape = NetworkShape({}, FIELDS, numerics=2, outputs=OUTPUTS, sides=sides)
    torch.manual_seed(0)
    representation = MultiTaskNetwork(
        Model(hidden=[6], tower=[], interaction="features"), shape, {}
    ).representation.eval()
    assert representation.interaction is not None
    batch = replace(
        rows(), ids=torch.empty(ROWS, 0, dtype=torch.int32), text=torch.empty(ROWS, 0, dtype=torch.int32)
    )

    def interaction_with(number: int) -> torch.Tensor:
        numeric = batch.numeric.clone()
        numeric[:, number] += 1
        return representation(replace(batch, numeric=numeric)).whole()[:, -representation.width_of_both :]

    before = representation(batch).whole()[:, -representation.width_of_both :]
    assert not torch.allclose(interaction_with(0), before)
    assert torch.equal(interaction_with(1), before)


def test_shared_bottom_gives_every_task_the_same_and_experts_each_its_own_mixture() -> None:
    inputs = torch.randn(4, 10, generator=torch.Generator().manual_seed(2))
    torch.manual_seed(0)
    first, second = SharedBottom(LAYOUT, Model(hidden=[6]))(inputs)
    assert torch.equal(first, second)
    first, second = MMoE(LAYOUT, Model(hidden=[6], experts=3))(inputs)
    assert not torch.allclose(first, second)


def expert_outputs(experts: Experts, inputs: torch.Tensor) -> list[torch.Tensor]:
    """One MLP after the other, of two layers."""
    outputs = []
    for expert in range(experts.count):
        rows = slice(expert * 6, (expert + 1) * 6)
        hidden = (inputs @ experts.first.weight[rows].T + experts.first.bias[rows]).relu()
        outputs.append((hidden @ experts.deeper[0][expert] + experts.biases[0][expert]).relu())
    return outputs


def test_batched_experts_compute_what_the_paper_writes() -> None:
    """f(x) = sum over experts of softmax(gate(x)) · expert(x), with one MLP per expert."""
    torch.manual_seed(0)
    mixture = MMoE(LAYOUT, Model(hidden=[6, 5], experts=3))
    inputs = torch.randn(4, 10)
    gates = mixture.gates(inputs).view(4, 2, 3).softmax(-1)
    outputs = expert_outputs(mixture.shared, inputs)
    for task, mixed in enumerate(mixture(inputs)):
        expected = sum(gates[:, task, [expert]] * output for expert, output in enumerate(outputs))
        assert torch.allclose(mixed, expected, atol=1e-6)


def test_with_experts_of_its_own_a_task_mixes_those_and_the_shared_ones() -> None:
    """Equations 1 to 4 of the paper on PLE: the softmax runs over the shared and the task's own experts only."""
    torch.manual_seed(0)
    mixture = PLE(LAYOUT, Model(hidden=[6, 5], experts=2, task_experts=3))
    inputs = torch.randn(4, 10)
    logits = mixture.gates(inputs).view(4, 2, 8)
    outputs = expert_outputs(mixture.shared, inputs) + expert_outputs(mixture.own, inputs)
    for task, (mixed, read) in enumerate(
        zip(mixture(inputs), ([0, 1, 2, 3, 4], [0, 1, 5, 6, 7]), strict=True)
    ):
        gates = logits[:, task, read].softmax(-1)
        expected = sum(gates[:, [place]] * outputs[expert] for place, expert in enumerate(read))
        assert torch.allclose(mixed, expected, atol=1e-6)


def test_a_second_layer_of_ple_reads_what_the_first_one_mixes() -> None:
    torch.manual_seed(0)
    settings = Model(experts=2, task_experts=1, hidden=[6, 5], architecture="ple", extraction_layers=2)
    ple, inputs = PLE(replace(LAYOUT, width=7), settings), torch.randn(4, 7)
    below = ple.below
    assert below is not None
    outputs = expert_outputs(below.shared, inputs) + expert_outputs(below.own, inputs)

    def mixture(weights: torch.Tensor, experts: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack([weights[:, [place]] * expert for place, expert in enumerate(experts)]).sum(0)

    together = mixture(ple.shared_gate(inputs).softmax(-1), outputs)
    shared = expert_outputs(ple.shared, together)
    for task in range(2):
        read = mixture(below.gate_weights(inputs)[:, task], outputs)
        own = expert_outputs(ple.own, read)[task]
        logits = ple.gates(read).view(4, 2, 4)[:, task, [0, 1, 2 + task]]
        expected = mixture(logits.softmax(-1), [*shared, own])
        assert torch.allclose(ple(inputs)[task], expected, atol=1e-6)


def test_what_is_a_tasks_own_is_moved_by_no_other_task_and_does_not_count_as_shared() -> None:
    model = network("ple")
    model(rows())[:, 0].sum().backward()
    gradient = model.get_parameter("architecture.own.first.weight").grad
    assert gradient is not None
    gradient = gradient.view(3, -1)
    assert gradient[0].abs().sum() > 0
    assert gradient[1:].abs().sum() == 0
    shared = {id(parameter) for parameter in model.shared_parameters}
    names = {name for name, parameter in model.named_parameters() if id(parameter) in shared}
    assert "architecture.shared.first.weight" in names
    assert not any(name.startswith(("architecture.own.", "architecture.gates.", "towers.")) for name in names)


def test_values_of_a_list_are_averaged_and_absent_ones_left_out() -> None:
    torch.manual_seed(0)
    embedding = CategoricalEmbedding(FIELDS, dimension=4)
    table = embedding.table.weight
    out = embedding(torch.tensor([[1, 2, 4, 0]], dtype=torch.int32))
    genres_start = 3
    assert torch.allclose(out[0, :4], table[1])
    assert torch.allclose(out[0, 4:], (table[genres_start + 2] + table[genres_start + 4]) / 2)


@pytest.mark.parametrize("architecture", ["mmoe", "stem"])
def test_hidden_ids_are_unknown_to_all_that_reads_them_and_in_training_only(architecture: str) -> None:
    representation, batch = network(architecture, id_dropout=0.5, category_dropout=0.0).representation, rows()
    unknown = representation(replace(batch, ids=torch.zeros_like(batch.ids))).whole()
    shown = representation(batch).whole()
    torch.manual_seed(0)
    trained = representation.train()(batch).whole()
    torch.manual_seed(0)
    hidden = representation.hidden(batch.ids)
    assert 0 < (hidden != batch.ids).sum() < (batch.ids > 0).sum()
    assert torch.equal(representation.eval()(replace(batch, ids=hidden)).whole(), trained)
    assert not torch.equal(trained, shown)
    assert not torch.equal(trained, unknown)


@pytest.mark.parametrize("text_dimension", [None, 4])
def test_hidden_texts_are_read_as_none_and_in_training_only(text_dimension: int | None) -> None:
    representation = network("mmoe", text_dropout=0.5, text_dimension=text_dimension).representation
    text, numbers = representation.texts["item"], torch.arange(ITEMS).repeat(20)
    shown = representation.text("item", numbers)
    trained = representation.train().text("item", numbers)
    hidden = (trained != shown).any(1)
    assert 0.3 < hidden.float().mean() < 0.7
    assert torch.equal(representation.eval().text("item", numbers), shown)
    text.get_buffer("vectors").zero_()
    none = representation.text("item", numbers)
    assert torch.allclose(trained[hidden], none[hidden])


@pytest.mark.parametrize(("to_come", "kept"), [(ROWS, {"user", "item"}), (ITEMS - 1, {"user"}), (1, set())])
def test_texts_are_projected_once_where_that_is_cheaper_and_anew_for_new_weights(
    to_come: int, kept: set[str]
) -> None:
    model, batch = network("mmoe"), rows()
    with torch.no_grad():
        expected = model(batch)
        with model.representation.texts_kept(to_come):
            assert {
                side
                for side, projection in model.representation.texts.items()
                if isinstance(projection.kept, torch.Tensor)
            } == kept
            assert torch.allclose(model(batch), expected, atol=1e-6)
        model.representation.texts["item"].get_parameter("project.weight").mul_(2)
        assert not torch.allclose(model(batch), expected, atol=1e-2)


def test_hidden_categories_teach_the_row_of_the_unknown_in_training_only() -> None:
    """A list is hidden as a whole, and then says as little as an empty one."""
    embedding = CategoricalEmbedding(FIELDS, dimension=4, hide=1.0)
    values = torch.tensor([[1, 2, 4, 0]], dtype=torch.int32)
    hidden = embedding.train()(values)
    assert torch.equal(hidden, embedding(torch.zeros_like(values)))
    assert torch.equal(hidden[0, :4], embedding.table.weight[0])
    assert not torch.equal(embedding.eval()(values), hidden)


def test_what_is_unknown_is_answered_by_a_row_that_was_trained() -> None:
    """No training row lacks the device. The answer for an unknown one lies between those for the known ones, not at
    whatever the table was filled with at first."""
    torch.manual_seed(0)
    embedding = CategoricalEmbedding([CategoricalField("device", 2, 1)], dimension=1, hide=0.1)
    with torch.no_grad():
        embedding.table.weight[0] = 50.0
    optimizer = torch.optim.Adam(embedding.parameters(), lr=0.3)
    devices = torch.tensor([[1], [2]] * 50, dtype=torch.int32)
    for _ in range(500):
        loss = (embedding.train()(devices) - devices).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    unknown = embedding.eval()(torch.tensor([[0]], dtype=torch.int32))
    assert unknown.item() == pytest.approx(1.5, abs=0.3)


def test_bins_lie_where_values_are() -> None:
    """Income from shares: 0 for 97 in 100 people, and for the others a number of their own."""
    values = torch.cat([torch.zeros(9700), torch.linspace(1, 300, 300)])
    edges = bin_edges(values)
    assert edges[0] == 0
    assert edges[-1] == 300
    assert edges.diff().min() >= 0
    assert len(edges.unique()) > BINS / 2


def test_values_that_are_few_are_edges_each() -> None:
    values = torch.tensor([0.0, 1.0, 5.0, 5.0, 7.0])
    assert bin_edges(values).unique().tolist() == [0, 1, 5, 7]


def test_a_piecewise_number_bends_at_the_edges_only_and_is_level_beyond() -> None:
    embedding = PiecewiseEmbedding(1, 4)
    embedding.fit(torch.tensor([[0.0], [1.0], [3.0]]))
    at = {value: embedding(torch.tensor([[value]])) for value in (-9.0, 0.0, 1.0, 2.0, 3.0, 9.0)}
    assert torch.allclose(at[2.0], (at[1.0] + at[3.0]) / 2, atol=1e-6)
    assert not torch.allclose(at[1.0], at[0.0] * 2 / 3 + at[3.0] / 3)
    assert torch.equal(at[-9.0], at[0.0])
    assert torch.equal(at[9.0], at[3.0])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("text_dimension", [None, 4])
def test_what_is_frozen_is_read_but_gets_no_gradient(
    architecture: str, text_dimension: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A linear layer of the parts gives what one of the whole gives. (Few frozen columns go with the others.)"""
    assert network(architecture, text_dimension=4).representation(rows()).frozen.shape[1] == 0
    monkeypatch.setattr(parts_of_a_representation, "WORTH_A_PRODUCT", 1)
    model = network(architecture, text_dimension=text_dimension)
    parts = model.representation(rows())
    layer = torch.nn.Linear(model.representation.width, 5)
    assert torch.allclose(layer(parts), layer(parts.whole()), atol=1e-6)
    assert parts.frozen.shape[1] == 2 + (0 if text_dimension else 2 * 8)
    assert parts.learned.requires_grad
    assert not parts.frozen.requires_grad


def test_rows_looked_up_many_times_and_their_gradient() -> None:
    numbers = torch.tensor([[0, 2], [2, 2]], dtype=torch.int32)
    table = torch.arange(6.0).view(3, 2).requires_grad_()
    found = look_up(numbers, table)
    assert torch.equal(found, torch.nn.functional.embedding(numbers, table))
    (found * torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]])).sum().backward()
    assert table.grad is not None
    assert table.grad.tolist() == [[1, 1], [0, 0], [9, 9]]


def test_products_of_matrices_for_each_group_and_their_gradients() -> None:
    torch.manual_seed(0)
    inputs, weight, bias = (
        torch.randn(*size, dtype=torch.float64, requires_grad=True)
        for size in ((6, 2, 3), (2, 3, 4), (2, 1, 4))
    )
    expected = torch.einsum("rgw,gwo->rgo", inputs, weight).add(bias.transpose(0, 1)).relu()
    assert torch.allclose(grouped(inputs, weight, bias), expected)
    assert torch.autograd.gradcheck(grouped, (inputs, weight, bias))


def test_tasks_read_mixtures_of_experts_whose_gradients_are_right() -> None:
    experts, weights = (
        torch.randn(*size, dtype=torch.float64, requires_grad=True) for size in ((4, 6, 5), (6, 3, 4))
    )
    expected = torch.einsum("erh,rte->trh", experts, weights)
    assert torch.allclose(torch.stack(mix(experts, weights)), expected)
    assert torch.autograd.gradcheck(mix, (experts, weights))
    halved = mix(experts.bfloat16(), weights.bfloat16())
    assert torch.allclose(torch.stack(halved).double(), expected, atol=0.05)
