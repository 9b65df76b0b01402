"""What each architecture is about: a test fails where its idea is missing."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional

from mtl_pipeline.learning.architectures import ARCHITECTURES
from mtl_pipeline.learning.architectures.aitm import AITM, Transfer, sources
from mtl_pipeline.learning.architectures.esmm import ESMM, log_odds_of_both
from mtl_pipeline.learning.architectures.pepnet import Gate, PEPNet
from mtl_pipeline.learning.blocks.cross_layers import CrossLayers
from mtl_pipeline.learning.blocks.normalised_experts import NormalisedExperts
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.representation.layout import Layout, layout_of
from mtl_pipeline.learning.training.loop import fit_network
from mtl_pipeline.learning.training.optimisation.losses import task_losses, training_losses
from mtl_pipeline.spec import Model, Task
from mtl_pipeline_tests.conftest import TinyPipeline
from mtl_pipeline_tests.learning.networks import ROWS, declared, moved, network, rows

NAN = float("nan")
LAYOUT = Layout(width=10, given=(None, 0, 1), context=torch.tensor([0, 1]), entities=torch.tensor([2, 3]))
INPUTS = torch.randn(4, 10, generator=torch.Generator().manual_seed(3))
CLICK, BUY = Task(name="click", kind="binary"), Task(name="buy", kind="binary", given="click")
RETURN = Task(name="return", kind="binary", given="buy")
STARS = Task(name="stars", kind="regression", given="buy")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_network_of_one_task_learns_although_the_task_it_is_given_is_not_there(architecture: str) -> None:
    """It is the baseline that joint training is compared with."""
    model = network(architecture, outputs=(1,)).train()
    labels = (torch.arange(ROWS) % 2).float()[:, None]
    assert torch.equal(model.architecture.training_labels(labels, [BUY]), labels)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    losses = []
    for _ in range(20):
        losses.append(training_losses(model, model(rows()), labels, [BUY]).sum())
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]


def test_the_layout_says_whose_columns_are() -> None:
    """Others of a kind move the columns of that kind, and what user and item are multiplied to."""
    representation, batch = network("stem").representation, rows()
    layout = layout_of(representation, *declared("stem"))

    def changed(**inputs: Any) -> set[int]:
        difference = representation(replace(batch, **inputs)).whole() - representation(batch).whole()
        places = difference.abs().sum(0).nonzero().flatten()
        return set(places[places < layout.width - representation.width_of_both].tolist())

    ids, entities, own = (set(part.flatten().tolist()) for part in (layout.ids, layout.entities, layout.own))
    assert changed(numeric=batch.numeric + 1) == set(layout.context.tolist())
    assert changed(ids=(batch.ids + 1) % 6) == ids | own
    assert changed(text=(batch.text + 1) % 5) == entities - ids
    assert own.isdisjoint(entities)


def test_a_linear_model_is_a_weighted_sum_of_the_representation() -> None:
    model, batch = network("linear"), rows()
    of_task = dict(model.towers[2].named_parameters())
    expected = functional.linear(model.representation(batch), of_task["1.weight"], of_task["1.bias"])
    assert torch.allclose(model(batch)[:, 2:], expected, atol=1e-6)


def test_esmm_learns_a_purchase_from_rows_without_a_click_too() -> None:
    """p(click) = 1/2 and p(buy, given click) = 1/4 in every row; a purchase in one row of three, and in one unknown."""
    model = network("esmm", outputs=(1, 1))
    outputs = torch.tensor([[0.0, -math.log(3)]] * 4, requires_grad=True)
    observed = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, NAN], [NAN, 1.0]])
    labels = model.architecture.training_labels(observed, [CLICK, BUY])
    losses = training_losses(model, outputs, labels, [CLICK, BUY])
    click, buy = -math.log(1 / 2), -(math.log(1 / 8) + 2 * math.log(7 / 8)) / 3
    assert losses.tolist() == pytest.approx([click, buy], rel=1e-6)
    conditional = -(math.log(1 / 4) + math.log(3 / 4) + math.log(1 / 4)) / 3
    assert task_losses(outputs, observed, [CLICK, BUY])[1].item() == pytest.approx(conditional, rel=1e-6)
    losses[1].backward()
    assert outputs.grad is not None
    assert (outputs.grad != 0).tolist() == [[True, True]] * 3 + [[False, False]]


def test_esmm_multiplies_along_the_chain_in_whatever_order_and_leaves_numbers_as_they_are() -> None:
    tasks = [RETURN, STARS, BUY, CLICK]
    esmm = ESMM(LAYOUT, Model(hidden=[6]))
    labels = torch.tensor(
        [[1.0, 5.0, 1.0, 1.0], [NAN, NAN, NAN, 0.0], [NAN, 2.0, 0.0, 1.0], [NAN, 3.0, 1.0, 1.0]]
    )
    made = esmm.training_labels(labels, tasks)
    expected = [[1.0, 5.0, 1.0, 1.0], [0.0, NAN, 0.0, 0.0], [0.0, 2.0, 0.0, 1.0], [NAN, 3.0, 1.0, 1.0]]
    assert torch.equal(made.nan_to_num(-1), torch.tensor(expected).nan_to_num(-1))
    outputs = torch.tensor([[0.3, 7.0, -0.2, 1.1]])
    returned, stars, bought, clicked = esmm.training_outputs(outputs, tasks)[0]
    sigmoids = outputs[0].sigmoid()
    assert (stars, clicked) == (7.0, outputs[0, 3])
    assert bought.sigmoid() == pytest.approx(float(sigmoids[2] * sigmoids[3]))
    assert returned.sigmoid() == pytest.approx(float(sigmoids[0] * sigmoids[2] * sigmoids[3]))


def test_log_odds_of_what_is_nearly_certain_or_nearly_impossible_stay_finite() -> None:
    one = torch.tensor([200.0, -200.0, 200.0, -200.0], requires_grad=True)
    both = log_odds_of_both(one, torch.tensor([200.0, -200.0, -200.0, 0.0]))
    assert both.tolist() == pytest.approx([200 - math.log(2), -400, -200, -200 - math.log(2)])
    both.sum().backward()
    assert one.grad is not None
    assert one.grad.tolist() == pytest.approx([0.5, 1, 0, 1], abs=1e-4)


def test_validation_looks_at_what_is_predicted_whatever_is_trained_on(prepared: TinyPipeline) -> None:
    model = prepared.spec.model.model_copy(update={"architecture": "esmm"})
    spec = prepared.spec.model_copy(update={"model": model})
    dataset = Dataset(prepared.paths, spec)
    fit = fit_network(dataset, spec, spec.tasks, lambda line: None)
    scale, validation = fit.ranker.scale, dataset.validation
    labels = (validation.labels - torch.tensor(scale.mean)) / torch.tensor(scale.standard_deviation)
    with torch.no_grad():
        expected = task_losses(fit.ranker.network.eval()(validation), labels, spec.tasks).tolist()
    assert [fit.best[f"validation_loss/{task.name}"] for task in spec.tasks] == pytest.approx(
        expected, rel=1e-4
    )
    on_the_same = [task.name for task in spec.tasks if f"train_loss/{task.name}" in fit.best]
    assert on_the_same == [task.name for task in spec.tasks if not task.given or task.kind != "binary"]


def test_in_aitm_what_was_found_flows_down_the_chain_only() -> None:
    torch.manual_seed(0)
    for task in range(3):
        aitm = AITM(LAYOUT, Model(hidden=[16]))
        aitm(INPUTS)[task].square().sum().backward()
        gradient = aitm.own.first.weight.grad
        assert gradient is not None
        assert gradient.view(3, -1).any(1).tolist() == [place <= task for place in range(3)]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ((None, None, None), {0: None, 1: 0, 2: 1}),
        ((None, 0, 0), {0: None, 1: 0, 2: 0}),
        ((1, None, None), {1: None, 0: 1, 2: 0}),  # a purchase that is declared before its click
    ],
)
def test_in_aitm_a_task_reads_from_the_one_it_is_given_or_else_the_one_before(
    given: tuple[int | None, ...], read: dict[int, int | None]
) -> None:
    found = sources(given)
    assert found == read
    assert list(found) == list(read)


def test_the_transfer_unit_is_what_the_paper_writes() -> None:
    """z = Σ over u of softmax(⟨key(u), query(u)⟩ / √width) · value(u), with u what is handed over and what is found."""
    torch.manual_seed(0)
    unit = Transfer(6)
    handed, found = torch.randn(2, 6), torch.randn(2, 6)
    for row, made in enumerate(unit(handed, found)):
        pair = [unit.hand_over(handed[row]), found[row]]
        values, keys, queries = zip(*(unit.value_key_query(one).chunk(3) for one in pair), strict=True)
        fit = torch.stack([key @ query / 6**0.5 for key, query in zip(keys, queries, strict=True)])
        assert torch.allclose(made, fit.softmax(0) @ torch.stack(values), atol=1e-6)


def test_a_gate_of_pepnet_learns_through_its_prior_alone() -> None:
    torch.manual_seed(0)
    prior, rest = INPUTS.clone().requires_grad_(), INPUTS.clone().requires_grad_()
    Gate(10, torch.tensor([2, 3]), outputs=5, hidden=16)(prior, rest).sum().backward()
    assert rest.grad is None
    assert prior.grad is not None
    assert prior.grad.any(0).nonzero().flatten().tolist() == [2, 3]


def test_pepnet_is_an_mlp_per_task_where_its_gates_are_at_one_and_gates_scale_by_user_and_item() -> None:
    torch.manual_seed(0)
    pepnet = PEPNet(LAYOUT, Model(hidden=[6, 5]))
    first, second = pepnet.layers
    before = torch.stack(pepnet(INPUTS))
    assert not torch.allclose(before, second(first(INPUTS)), atol=1e-2)
    for gate in (pepnet.inputs, *pepnet.gates):
        for parameter in gate.parameters():
            parameter.data.zero_()
    assert torch.allclose(torch.stack(pepnet(INPUTS)), second(first(INPUTS)), atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"cross_layers": 2}, {"expert_normalisation": "batch"}])
def test_in_stem_a_task_reads_what_others_learned_and_moves_only_its_own(settings: dict[str, Any]) -> None:
    model, batch = network("stem", **settings), rows()
    before = model(batch)
    before[:, 0].sum().backward()
    found = moved(model)
    for table in ("user_id", "item_id"):
        of_tasks = found[f"representation.own.{table}.table.weight"].view(-1, 3, 16)
        assert of_tasks.any(2).any(0).tolist() == [True, False, False]
    for part in ("own.first", "gates"):
        assert found[f"architecture.{part}.weight"].view(3, -1).any(1).tolist() == [True, False, False]
    assert "representation.ids.user_id.table.weight" in found
    own = model.get_parameter("architecture.own.first.weight")
    with torch.no_grad():
        own.view(3, -1)[1] += 1  # an expert of the second task
    assert (model(batch) - before)[:, 0].abs().max() > 1e-4
    shared = {id(parameter) for parameter in model.shared_parameters}
    assert not any(id(table) in shared for table in model.representation.own.parameters())
    tables = {id(table) for table in model.representation.tables}
    assert all(id(table) in tables for table in model.representation.own.parameters())


def test_in_stem_no_step_makes_an_expert_read_what_is_not_for_it() -> None:
    model, batch = network("stem", cross_layers=1), rows()
    layout = layout_of(model.representation, *declared("stem"))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.dim() > 1], lr=0.1)

    def step() -> None:
        optimizer.zero_grad()
        model(batch).square().sum().backward()
        for table in model.representation.tables:
            table.grad = None
        optimizer.step()

    step()
    shared = model.get_parameter("architecture.shared.first.weight")
    own = model.get_parameter("architecture.own.first.weight").view(3, -1, layout.width)
    assert not shared[:, layout.own.flatten()].any()
    assert not own[:, :, layout.ids].any()
    assert all(not own[task, :, layout.own[other]].any() for task in range(3) for other in {0, 1, 2} - {task})
    assert all(own[task, :, layout.own[task]].any() for task in range(3))


def test_a_cross_layer_by_hand() -> None:
    """x0 = (1, 2), V = (1, −1), U = (3, 4), b = (½, 0), twice: x0 ⊙ (U V x + b) + x."""
    cross = CrossLayers(Layout(width=2, given=(None,)), layers=2, rank=1)
    for down, up in zip(cross.down, cross.up, strict=True):
        down.load_state_dict({"weight": torch.tensor([[1.0, -1.0]])})
        up.load_state_dict({"weight": torch.tensor([[3.0], [4.0]]), "bias": torch.tensor([0.5, 0.0])})
    assert cross(torch.tensor([[1.0, 2.0]])).tolist() == [[12.5, 30.0]]  # by way of (−1.5, −6)


def test_normalised_experts_forget_the_scale_of_a_batch_and_answer_a_single_row_as_one_of_many() -> None:
    torch.manual_seed(0)
    experts = NormalisedExperts(10, [6, 5], 0.0, count=3)
    batch = torch.randn(64, 10)
    in_training = experts(batch)
    assert in_training.shape == (3, 64, 5)
    assert torch.allclose(experts(100 * batch), in_training, atol=1e-2)
    assert experts(batch[:1]).isfinite().all()
    together = experts.eval()(batch)
    assert torch.allclose(experts(batch[7:8]), together[:, 7:8], atol=1e-6)
    assert not torch.allclose(together, in_training, atol=1e-2)  # it has seen batches of other scales too
    assert torch.allclose(experts(batch.expand(3, -1, -1)), together, atol=1e-6)
