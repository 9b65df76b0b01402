"""Encoders of sequences: what they compute of the items that a user chose before, and for whom."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch

from mtl_pipeline.learning.data.encoding import Rows
from mtl_pipeline.learning.network import MultiTaskNetwork
from mtl_pipeline.learning.representation.representation import NetworkShape
from mtl_pipeline.learning.representation.sequences import SEQUENCE_ENCODERS
from mtl_pipeline.learning.representation.sequences.base import SequenceShape
from mtl_pipeline.learning.representation.sequences.target_attention import TargetAttention
from mtl_pipeline.spec import Model
from mtl_pipeline.spec.architectures import SequenceEncoder
from mtl_pipeline_tests.learning.networks import FIELDS, ITEMS, OUTPUTS, USERS, rows

SHAPE = SequenceShape(last=4, labels=("rating",))


def network(encoder: str) -> MultiTaskNetwork:
    torch.manual_seed(0)
    model = Model.model_validate({"sequence_encoder": encoder, "hidden": [12, 6], "tower": [4]})
    shape = NetworkShape({"user_id": USERS, "item_id": ITEMS}, FIELDS, 2, OUTPUTS, SHAPE)
    texts = {"users": torch.randn(USERS, 8), "items": torch.randn(ITEMS, 8)}
    return MultiTaskNetwork(model, shape, texts).eval()


def test_every_encoder_that_can_be_declared_is_there() -> None:
    assert set(SEQUENCE_ENCODERS) == set(get_args(SequenceEncoder))


@pytest.mark.parametrize("encoder", SEQUENCE_ENCODERS)
def test_a_row_depends_on_what_its_own_user_chose_last_and_on_nothing_else(encoder: str) -> None:
    model, batch = network(encoder), rows()
    outputs = model(batch)
    assert torch.allclose(torch.cat([model(batch[:4]), model(batch[4:])]), outputs, atol=1e-6)
    chosen = batch.chosen
    assert chosen is not None
    for place in range(len(chosen.item)):
        item = chosen.item.clone()
        item[place] = (item[place] + 1) % 3
        moved = (model(replace(batch, chosen=replace(chosen, item=item))) - outputs).abs().amax(1) > 1e-7
        first, end = batch.sequence.T
        assert torch.equal(moved, (first <= place) & (place < end) & (end - SHAPE.last <= place))


@pytest.mark.parametrize("encoder", SEQUENCE_ENCODERS)
def test_every_part_of_an_encoder_learns_and_rows_without_a_past_break_nothing(encoder: str) -> None:
    model, batch = network(encoder), rows()
    representation = model.representation
    assert representation.sequence is not None
    representation.fit(batch)
    model(batch).square().sum().backward()
    gradients = [parameter.grad for parameter in representation.sequence.parameters()]
    assert all(
        gradient is not None and gradient.isfinite().all() and gradient.any() for gradient in gradients
    )


def test_the_scale_of_labels_is_that_of_what_training_rows_look_back_at() -> None:
    """Two users. The first one's last two choices came after training; the second one's lie behind these."""
    encoder = TargetAttention(5, 4, SHAPE)
    batch = rows()
    assert batch.chosen is not None
    labels = torch.tensor([1.0, torch.nan, 3.0, 100.0, 100.0, 5.0, 3.0, 100.0, 100.0])[:, None]
    seen = torch.tensor([[0, 0], [0, 2], [1, 3], [5, 7]])
    encoder.fit(replace(batch, sequence=seen, chosen=replace(batch.chosen, labels=labels)))
    assert encoder.label_mean.item() == 3  # of 1, 3, 5 and 3
    assert encoder.label_scale.item() == pytest.approx((8 / 3) ** 0.5)
    standardised, known = encoder.known_labels(torch.tensor([[[5.0], [torch.nan]]]))[0].T
    assert standardised.tolist() == pytest.approx([2 / (8 / 3) ** 0.5, 0])
    assert known.tolist() == [1, 0]


def test_attention_is_what_the_papers_write() -> None:
    """Row by row and item by item: softmax(q·k / √d + recency) over the items and "none of them"."""
    torch.manual_seed(0)
    encoder = TargetAttention(5, 4, SHAPE)
    torch.nn.init.normal_(encoder.recency)
    torch.nn.init.normal_(encoder.none)
    candidates, items, labels = torch.randn(2, 5), torch.randn(3, 5), torch.randn(2, 4, 1)
    number = torch.tensor([[0, 0, 2, 1], [2, 1, 0, 2]])
    present = torch.tensor([[False, False, True, True], [True] * 4])
    made = encoder(candidates, items, number, present, labels)
    for row, candidate in enumerate(encoder.item(candidates)):
        theirs = [place for place in range(4) if present[row, place]]
        vectors = encoder.item(items)[number[row, theirs]]
        keys, values = encoder.key_value(vectors).chunk(2, -1)
        logits = keys @ encoder.query(candidate) / 4**0.5 + encoder.recency[theirs]
        weights = torch.cat([logits, encoder.none]).softmax(0)[:-1]
        values = values + encoder.known_labels(labels[row, theirs]) @ encoder.of_labels
        fit = [logits.exp().mean().log(), logits.max()]
        expected = torch.cat([weights @ values, values.mean(0) * candidate, candidate, torch.stack(fit)])
        assert torch.allclose(made[row], expected, atol=1e-6)


def test_without_labels_of_the_sequence_items_alone_are_read() -> None:
    batch: Rows = rows()
    assert batch.chosen is not None
    encoder = TargetAttention(5, 4, SequenceShape(last=4, labels=()))
    encoder.fit(replace(batch, chosen=replace(batch.chosen, labels=torch.empty(9, 0))))
    number, present = torch.zeros(2, 4, dtype=torch.int64), torch.ones(2, 4, dtype=torch.bool)
    made = encoder(torch.randn(2, 5), torch.randn(3, 5), number, present, torch.empty(2, 4, 0))
    assert made.shape == (2, encoder.width)
