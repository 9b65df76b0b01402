"""The best unseen items of each user."""

from __future__ import annotations

import polars as pl
import pytest

from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.recommending import best_per_user, default_score
from mtl_pipeline_tests.conftest import TinyPipeline

PREDICTIONS = pl.DataFrame(
    {
        "user_id": [1, 1, 1, 2, 2],
        "item_id": [10, 11, 12, 10, 11],
        "watched": [0.2, 0.9, 0.9, 0.5, 0.1],
        "rating": [5.0, 1.0, 1.0, 3.0, 4.0],
    }
)


def ranked(score: str, per_user: int) -> list[tuple[int, int, int]]:
    best = best_per_user(PREDICTIONS, score, per_user)
    return best.select("user_id", "rank", "item_id").rows()


def test_highest_scores_first_and_ties_to_the_smaller_id() -> None:
    assert ranked("watched", 2) == [(1, 1, 11), (1, 2, 12), (2, 1, 10), (2, 2, 11)]


def test_score_is_any_sql_expression_over_the_tasks() -> None:
    assert ranked("watched * rating", 1) == [(1, 1, 10), (2, 1, 10)]
    assert ranked("CASE WHEN rating > 2 THEN rating ELSE 0 END", 1) == [(1, 1, 10), (2, 1, 11)]


def test_a_score_that_cannot_be_computed_is_refused_with_its_text() -> None:
    with pytest.raises(UserError, match=r"'clicked \* 2'.*expression over the task names"):
        best_per_user(PREDICTIONS, "clicked * 2", 1)


def test_default_score_is_the_probability_that_everything_happens(tiny_pipeline: TinyPipeline) -> None:
    assert default_score(tiny_pipeline.spec) == "watched * liked"
