"""Scoring users' pairs with items, each side once, gives what scoring them row by row gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from mtl_pipeline.candidates import Block, OfBoth
from mtl_pipeline.learning.architectures import ARCHITECTURES
from mtl_pipeline.learning.data.encoding import FeatureEncoder
from mtl_pipeline.learning.data.pairs import encode_pairs, encode_side
from mtl_pipeline.learning.network import MultiTaskNetwork
from mtl_pipeline.learning.ranker import members
from mtl_pipeline.learning.ranker.members import Member
from mtl_pipeline.learning.ranker.ranker import LabelScale, Ranker
from mtl_pipeline.learning.recommending import best_per_user
from mtl_pipeline.learning.representation.representation import FrozenText, NetworkShape
from mtl_pipeline.learning.representation.sequences import SEQUENCE_ENCODERS
from mtl_pipeline.learning.representation.sequences.base import SequenceShape
from mtl_pipeline.spec import Model, PipelineSpec
from mtl_pipeline_tests.warehouse.pairs import rows_of_block

USERS, ITEMS, KINDS = [3, 5, 8], [1, 2, 4, 6, 9], 2
TASKS = [
    {"name": "click", "kind": "binary"},
    {"name": "mood", "kind": "multiclass", "classes": ["calm", "gay", "sad"]},
    {"name": "stars", "kind": "regression"},
]
NUMERIC = {
    "age": 0.0,
    "price": 0.2,
    "hour": 0.5,
    "user_click_count": 0.0,
    "user_kind_click_mean": 0.3,
    "last_4": 0.1,
}
"""Numeric features by the share of training rows that lacked them."""
MODELS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "features of either side multiplied": {"interaction": "features"},
    "numbers by bins": {"numbers": "piecewise"},
    "numbers by bins, without numbers": {"numbers": "piecewise", "numeric": {}},
    "inputs crossed": {"cross_layers": 2},
    "experts normalised": {"expert_normalisation": "batch"},
    "without texts": {"texts": []},
    "text of items alone": {"texts": ["items"]},
    "texts as they are": {"text_dimension": None, "hidden": [32, 16], "tower": [8]},
    "components of texts": {"text_components": 3, "text_whitened": True},
    "components of texts as they are": {"text_components": 3, "text_dimension": None, "hidden": [32, 16]},
    "no features of both": {"of_both": False, "numeric": {"age": 0.0, "price": 0.2}},
    **{encoder: {"sequence_encoder": encoder} for encoder in SEQUENCE_ENCODERS},
}


def block(of_both: bool) -> tuple[Block, pl.DataFrame]:
    """With what is unknown: a new user, a category never seen, an empty list, numbers that are not there."""
    users = pl.DataFrame(
        {
            "user_id": USERS,
            "gender": ["F", None, "X"],
            "age": [20.0, 40.0, 30.0],
            "hour": [None, 3.0, 4.0],
            "user_click_count": [0.0, 9.0, 1.0],
            "chosen_from": [0, 0, 2],
            "chosen_to": [2, 0, 7],
        }
    )
    items = pl.DataFrame(
        {
            "item_id": ITEMS,
            "brand": ["a", "b", "a", None, "?"],
            "tags": [["x"], ["x", "y"], [], None, ["y", "z", "x"]],
            "price": [1.0, None, 3.0, 2.0, -1.0],
        }
    )
    mean = pl.DataFrame({"user_kind_click_mean": [0.1, None, 0.3, 0.9, None, 0.0]})
    last = pl.DataFrame({"last_4": [None, *np.linspace(-1, 1, len(USERS) * len(ITEMS) - 1)]})
    both = [OfBoth(mean, np.array([0, 1, 0, 1, 1])), OfBoth(last, np.arange(len(ITEMS)))]
    on_offer = np.array([[True, False, True, True, True], [True] * 5, [False] * 4 + [True]])
    return Block(users, both if of_both else [], on_offer), items


def ranker(architecture: str, settings: dict[str, Any]) -> tuple[Ranker, FeatureEncoder]:
    texts = settings.get("texts", ["users", "items"])
    names = {key: value for key, value in settings.items() if key in Model.model_fields}
    sizes = {"hidden": [12, 6], "tower": [4], "extraction_layers": 3, "architecture": architecture}
    features = {
        "users": {"categorical": ["gender"]},
        "items": {"categorical": ["brand", "tags"]},
        "sequence": {"last": 4, "labels": ["stars"]},
    }
    spec = PipelineSpec.model_validate({"tasks": TASKS, "features": features, "model": sizes | names})
    numeric = settings.get("numeric", NUMERIC)
    statistics = pl.DataFrame(
        [
            {
                "feature": name,
                "transform": "identity",
                "mean": 0.3,
                "standard_deviation": 2.0,
                "missing": missing,
            }
            for name, missing in numeric.items()
        ],
        schema=["feature", "transform", "mean", "standard_deviation", "missing"],
    )
    values = {"user_id": [3, 5], "item_id": [1, 2, 4, 6], "gender": "FM", "brand": "ab", "tags": "xyz"}
    vocabulary = pl.concat(
        pl.DataFrame({"feature": name, "value": list(map(str, found))}).with_row_index("index", offset=1)
        for name, found in values.items()
    )
    text_ids = {"users": pl.Series("user_id", USERS), "items": pl.Series("item_id", ITEMS)}
    encoder = FeatureEncoder(
        spec, statistics, vocabulary, {"tags": 2}, {text_ids[table].name: text_ids[table] for table in texts}
    )
    torch.manual_seed(2)
    sequence = SequenceShape(4, ("rating",)) if spec.model.sequence_encoder else None
    outputs = tuple(task.outputs for task in spec.tasks)
    shape = NetworkShape(
        {name: len(values[name]) for name in encoder.ids},
        tuple(encoder.fields),
        len(encoder.numeric_names),
        outputs,
        sequence,
        encoder.sides,
    )
    network = MultiTaskNetwork(
        spec.model, shape, {table: torch.randn(len(text_ids[table]), 7) for table in texts}
    )
    for name, parameter in network.named_parameters():
        torch.nn.init.normal_(parameter, std=0.1 if name.startswith("cross.") else 0.3)
        if parameter.dim() == 1:
            parameter.data.abs_()  # biases above 0, or the ReLUs of so small a network may all be dead
    for name, statistic in network.named_buffers():
        if name.endswith("running_var"):
            statistic.fill_(0.05)  # about that of what such small weights give
    for text in network.representation.texts.values():
        assert isinstance(text, FrozenText)
        if text.components:
            text.components.fit(text.vectors, torch.arange(3))
    if network.representation.numbers:
        network.representation.numbers.fit(torch.randn(50, len(encoder.numeric_names)))
    tasks = list(spec.tasks)
    return Ranker([Member.of(network, tasks)], tasks, LabelScale([0.0] * 3, [1.0] * 3)), encoder


def listed(made: Block) -> Block:
    """The same users, each with items of their own in three places, and other features of both in each."""
    items, on_offer = (
        np.array([[4, 0, 2], [1, 1, 3], [0, 4, 0]]),
        np.array([[True] * 3, [True] * 3, [False, True, True]]),
    )
    last = pl.DataFrame(
        {name: np.linspace(-1, 1, 9) for each in made.of_both for name in each.features.columns}
    )
    return Block(made.users, [OfBoth(last, np.arange(3))] if made.of_both else [], on_offer, items)


@pytest.mark.parametrize("with_items", [lambda made: made, listed], ids=["all items", "items of their own"])
@pytest.mark.parametrize("at_once", [3, 4096])
@pytest.mark.parametrize("settings", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_pairs_are_predicted_as_rows_are(
    architecture: str,
    settings: dict[str, Any],
    at_once: int,
    with_items: Callable[[Block], Block],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether a part of them is some of a user's items, or all items of several users."""
    monkeypatch.setattr(members, "ROWS_IN_CACHE", at_once)
    monkeypatch.setattr(members, "ROWS_AT_ONCE", at_once)
    model, encoder = ranker(architecture, settings)
    (made, items), chosen = block(settings.get("of_both", True)), None
    made = with_items(made)
    if "sequence_encoder" in settings:
        stars = [5.0, None, 1.0, 2.0, None, 4.0, 4.0]
        chosen = encoder.encode_chosen(pl.DataFrame({"item_id": [1, 9, 2, 2, 4, 6, 1], "stars": stars}))
    expected = model.outputs(encoder.encode(rows_of_block(made, items), chosen))
    found = model.outputs(encode_pairs(encoder, made, encode_side(encoder, items), chosen))
    for task, values in expected.items():
        same = found[task][torch.from_numpy(made.on_offer.ravel())]
        torch.testing.assert_close(same, values, rtol=1e-5, atol=1e-5 * max(1.0, float(values.abs().max())))
        assert values.std(0).min() > 1e-4  # or everything would agree


def test_where_no_item_is_on_offer_nothing_is_predicted() -> None:
    model, encoder = ranker("mmoe", {})
    made, items = block(of_both=True)
    empty = [OfBoth(each.features.clear(), each.kind[:0]) for each in made.of_both]
    made = Block(made.users, empty, made.on_offer[:, :0])
    predicted = model.predict(encode_pairs(encoder, made, encode_side(encoder, items.clear()), None))
    assert {task: len(values) for task, values in predicted.items()} == {"click": 0, "mood": 0, "stars": 0}
    best = best_per_user(
        made, items.clear()["item_id"], pl.DataFrame({"click": predicted["click"]}), "click", 3
    )
    assert best.is_empty()
