"""The best unseen items of each user."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_pipeline.candidates import Block
from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.recommending import (
    best_per_user,
    prediction_columns,
    recall,
)
from mtl_pipeline.spec import PipelineSpec

ITEMS = pl.Series("item_id", [10, 11, 12])
BLOCK = Block(pl.DataFrame({"user_id": [1, 2]}), [], np.array([[True] * 3, [True, True, False]]))
PREDICTIONS = pl.DataFrame(
    {"watched": [0.2, 0.9, 0.9, 0.5, 0.1, 1.0], "rating": [5.0, 1.0, 1.0, 3.0, 4.0, -1.0]}
)
"""The last one, of an item that is not on offer, would be the best by `watched`, and has no root."""


def best(score: str, per_user: int) -> pl.DataFrame:
    return best_per_user(BLOCK, ITEMS, PREDICTIONS, score, per_user)


def ranked(score: str, per_user: int) -> list[tuple[int, int, int]]:
    return best(score, per_user).select("user_id", "rank", "item_id").rows()


def test_highest_scores_first_and_ties_to_the_smaller_id() -> None:
    assert ranked("watched", 2) == [(1, 1, 11), (1, 2, 12), (2, 1, 10), (2, 2, 11)]


def test_all_that_is_on_offer_where_more_is_asked_for() -> None:
    assert ranked("watched", 7) == [(1, 1, 11), (1, 2, 12), (1, 3, 10), (2, 1, 10), (2, 2, 11)]


def test_after_a_candidate_stage_users_have_items_of_their_own() -> None:
    """The last of user 1 is no item at all: others have more candidates."""
    block = Block(
        BLOCK.users, [], np.array([[True, True, False], [True] * 3]), np.array([[0, 2, 0], [2, 1, 0]])
    )
    best = best_per_user(block, ITEMS, PREDICTIONS, "watched", 2)
    assert best.select("user_id", "item_id", "watched").rows() == [
        (1, 12, 0.9),
        (1, 10, 0.2),
        (2, 10, 1.0),
        (2, 12, 0.5),
    ]


def test_what_the_candidate_stage_finds_of_the_best() -> None:
    """User 1's best are items 11 and 12, of which one source found one; user 2's 10 and 11, of which two found one."""
    block = replace(BLOCK, found=np.array([[1, 0, 2], [3, 0, 0]], dtype=np.uint8))
    of_two = partial(best_per_user, items=ITEMS, score="watched", per_user=2)
    assert recall([block], lambda block: PREDICTIONS, of_two, ["popular", "newest"]) == {
        "candidate recall": 2 / 4,
        "candidate recall of popular": 1 / 4,
        "candidate recall of newest": 2 / 4,
        "candidate score kept": pytest.approx((0.9 + 0.2 + 0.5) / (0.9 + 0.9 + 0.5 + 0.1)),
    }


def test_of_negative_scores_no_share_is_kept() -> None:
    block = replace(BLOCK, found=np.array([[1, 0, 0], [1, 0, 0]], dtype=np.uint8))
    below_zero = partial(best_per_user, items=ITEMS, score="watched - 1", per_user=2)
    assert "candidate score kept" not in recall([block], lambda block: PREDICTIONS, below_zero, ["popular"])


def test_predictions_are_those_of_the_pair() -> None:
    assert best("sqrt(rating)", 1).rows(named=True) == [
        {"user_id": 1, "item_id": 10, "watched": 0.2, "rating": 5.0, "score": 5.0**0.5, "rank": 1},
        {"user_id": 2, "item_id": 11, "watched": 0.1, "rating": 4.0, "score": 2.0, "rank": 1},
    ]


def test_without_a_score_items_come_last() -> None:
    score = "CASE WHEN watched < 0.9 THEN -watched END"
    assert ranked(score, 2) == [(1, 1, 10), (1, 2, 11), (2, 1, 11), (2, 2, 10)]


@settings(max_examples=100, deadline=None)
@given(
    scores=st.lists(st.sampled_from([0.0, 0.25, 0.5, None]), min_size=12, max_size=12),
    on_offer=st.lists(st.booleans(), min_size=12, max_size=12),
    per_user=st.integers(1, 5),
)
def test_the_best_are_the_first_of_all_in_order(
    scores: list[float | None], on_offer: list[bool], per_user: int
) -> None:
    """Ties, of which more than one reaches over the end of the list, included."""
    users, items = pl.Series("user_id", [1, 2, 3]), pl.Series("item_id", [5, 6, 8, 9])
    block = Block(users.to_frame(), [], np.array(on_offer).reshape(3, 4))
    found = best_per_user(
        block, items, pl.DataFrame({"click": pl.Series(scores, dtype=pl.Float64)}), "click", per_user
    )
    expected = []
    for user in users:
        known = zip(scores, on_offer, [(one, item) for one in users for item in items], strict=True)
        own = [
            (score is None, -(score or 0.0), item)
            for score, offered, (one, item) in known
            if offered and one == user
        ]
        expected += [(user, rank + 1, item) for rank, (*_, item) in enumerate(sorted(own)[:per_user])]
    assert found.select("user_id", "rank", "item_id").rows() == expected


def test_score_is_any_sql_expression_over_the_tasks() -> None:
    assert ranked("watched * rating", 1) == [(1, 1, 10), (2, 1, 10)]
    assert ranked("CASE WHEN rating > 2 THEN rating ELSE 0 END", 1) == [(1, 1, 10), (2, 1, 11)]


def test_a_score_that_cannot_be_computed_is_refused_with_its_text() -> None:
    with pytest.raises(UserError, match=r"'clicked \* 2'.*expression over the tasks' predictions"):
        best("clicked * 2", 1)


@pytest.mark.parametrize("score", ["1 / (watched - watched)", "sqrt(-rating)", "ln(watched - watched)"])
def test_a_score_that_is_no_finite_number_is_refused(score: str) -> None:
    """Infinite, it would put every item of a user first."""
    with pytest.raises(UserError, match="is infinite or no number for some predictions"):
        best(score, 1)


def test_default_score_is_the_expected_number_of_goals() -> None:
    assert spec("click", "purchase given click").default_score == '"click" * "purchase"'
    assert spec("click", "like given click", "share").default_score == '"click" * "like" + "share"'


def test_what_comes_back_is_no_goal_and_lowers_the_score() -> None:
    """Multiplied like any other step, it would put first what is returned most: who means that has to say so."""
    tasks = ["click", "bought given click", "returned given bought"]
    with pytest.raises(
        ValueError,
        match=r"task returned: it sounds like bad news, .* say good: false, good: ignore, or good: true",
    ):
        spec(*tasks)
    assert spec(*tasks, returned=True).default_score == '"click" * "bought" * "returned"'
    assert spec(*tasks, returned=False).default_score == '"click" * "bought" * (1 - "returned")'
    assert spec(*tasks, returned="ignore").default_score == '"click" * "bought"'


def test_bad_counts_as_far_as_a_goal_does_not_imply_it() -> None:
    """Who shares has not bought anything yet that could come back."""
    shop = spec("click", "share given click", "bought given click", "returned given bought", returned=False)
    assert (
        shop.default_score
        == '"click" * "share" * (1 - "bought" * "returned") + "click" * "bought" * (1 - "returned")'
    )
    assert spec("like", "hide", hide=False).default_score == '"like" * (1 - "hide")'
    reported = spec("like", "report", "spam given report", report=False, spam=False)
    assert reported.default_score == '"like" * (1 - "report")'  # spam is reported: it counts already


def test_tasks_may_be_named_after_words_of_sql() -> None:
    """Polars has no quarrel with them in quotes."""
    score = spec("view", "order given view", "true", true=False).default_score
    predictions = pl.DataFrame({"view": [0.5], "order": [0.5], "true": [0.2]})
    assert predictions.select(pl.sql_expr(score)).item() == pytest.approx(0.5 * 0.5 * 0.8)


def test_a_good_number_counts_with_its_expected_value() -> None:
    tasks = [{"name": "click", "kind": "binary"}, {"name": "minutes", "kind": "regression", "given": "click"}]
    assert PipelineSpec.model_validate({"tasks": tasks}).default_score == '"click"'
    good = [tasks[0], tasks[1] | {"good": True}]
    assert PipelineSpec.model_validate({"tasks": good}).default_score == '"click" * "minutes"'


def test_where_nothing_is_good_a_score_has_to_be_declared() -> None:
    with pytest.raises(ValueError, match="no task is good"):
        spec("returned", returned=False)
    bad_number = {"name": "minutes_late", "kind": "regression", "good": False}
    with pytest.raises(ValueError, match="good: false goes with a binary task only"):
        PipelineSpec.model_validate({"tasks": [bad_number]})


def test_entire_space_is_the_product_along_the_chain() -> None:
    predictions = {"click": np.array([0.5, 0.2]), "cart": np.array([0.5, 1.0]), "buy": np.array([0.1, 0.5])}
    columns = prediction_columns(predictions, spec("click", "cart given click", "buy given cart"))
    by_name = {column.name: column.to_list() for column in columns}
    assert by_name["buy"] == [0.1, 0.5]
    assert by_name["cart_entire_space"] == pytest.approx([0.25, 0.2])
    assert by_name["buy_entire_space"] == pytest.approx([0.025, 0.1])
    assert "click_entire_space" not in by_name


def test_of_a_multiclass_task_the_most_probable_class_is_shown() -> None:
    mood = {"name": "mood", "kind": "multiclass", "classes": ["calm", "gay", "sad"]}
    pipeline = PipelineSpec.model_validate({"tasks": [{"name": "click", "kind": "binary"}, mood]})
    predictions = {"click": np.array([0.5, 0.5]), "mood": np.array([[0.1, 0.7, 0.2], [0.5, 0.4, 0.1]])}
    (_, column) = prediction_columns(predictions, pipeline)
    assert column.to_list() == ["gay", "calm"]


def spec(*tasks: str, **good: bool | str) -> PipelineSpec:
    """Binary tasks, written as `name` or `name given other`; `good` by task."""
    declared = [dict(zip(("name", "given"), task.split(" given "), strict=False)) for task in tasks]
    return PipelineSpec.model_validate(
        {"tasks": [{"kind": "binary", "good": good.get(task["name"]), **task} for task in declared]}
    )
