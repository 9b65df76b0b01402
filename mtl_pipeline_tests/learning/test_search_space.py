"""What a search may change, of the inputs that a pipeline has."""

from __future__ import annotations

from typing import Any

import pytest

from mtl_pipeline.learning.tuning.search_space import search_space, settings_of, with_settings
from mtl_pipeline.spec import PipelineSpec

WIDTHS = {"id_dimension", "id_dropout", "text_dimension", "categorical_dimension"}
BLIND = {"text": None}


@pytest.mark.parametrize(
    ("ids", "features", "searched"),
    [
        (["user_id", "item_id"], {"items": {"categorical": ["genre"]}}, WIDTHS),
        # The match of user and item is as wide as a text.
        (
            ["user_id", "item_id"],
            {"users": BLIND, "items": BLIND},
            {"id_dimension", "id_dropout", "text_dimension"},
        ),
        (["item_id"], {"items": BLIND}, {"id_dimension", "id_dropout"}),
        (["item_id"], {"items": {"text": "title"}}, {"id_dimension", "id_dropout", "text_dimension"}),
        ([], {"interactions": {"categorical": ["town"]}}, {"categorical_dimension"}),
    ],
)
def test_settings_of_inputs_that_the_pipeline_lacks_are_not_searched(
    ids: list[str], features: dict[str, Any], searched: set[str]
) -> None:
    tables: dict[str, Any] = {f"{side}s": {} if f"{side}_id" in ids else None for side in ("user", "item")}
    spec = PipelineSpec.model_validate(
        {
            "raw": {name: table for name, table in tables.items() if table is None},
            "ids": ids,
            "interaction_key": ids or ["person"],
            "split": {} if ids else {"hash_by": ["person"]},
            "features": features,
            "tasks": [{"name": "click", "kind": "binary"}],
            "tuning": {"categorical_dimension": [4, 8]},
        }
    )
    for architecture in ("mmoe", "shared_bottom"):
        space = search_space(spec, architecture)
        assert WIDTHS & set(space) == searched
        assert "learning_rate" in space


def test_a_share_of_hidden_texts_is_searched_where_it_is_asked_for() -> None:
    declared = {
        "tasks": [{"name": "click", "kind": "binary"}],
        "tuning": {"text_dropout": {"low": 0, "high": 0.8}},
    }
    spec = PipelineSpec.model_validate(declared)
    assert "text_dropout" in search_space(spec, "mmoe")
    assert settings_of(spec)["text_dropout"] == 0
    assert with_settings(spec, {"text_dropout": 0.5}).model.text_dropout == 0.5


def test_settings_that_an_architecture_lacks_are_not_searched() -> None:
    spec = PipelineSpec.model_validate({"tasks": [{"name": "click", "kind": "binary"}]})
    experts = {
        architecture: {"experts", "task_experts"} & set(search_space(spec, architecture))
        for architecture in ("shared_bottom", "mmoe", "ple")
    }
    assert experts == {"shared_bottom": set(), "mmoe": {"experts"}, "ple": {"experts", "task_experts"}}
    assert not {"hidden", "dropout", "experts"} & set(search_space(spec, "linear"))


def test_an_architecture_that_is_declared_is_compared_with_those_that_always_are() -> None:
    task = {"name": "click", "kind": "binary"}
    spec = PipelineSpec.model_validate({"tasks": [task], "model": {"architecture": "stem"}})
    assert spec.compared_architectures == ["shared_bottom", "mmoe", "ple", "stem"]
