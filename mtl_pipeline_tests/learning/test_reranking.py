"""Lists that are less alike, and less popular, than the best by score alone."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mtl_pipeline.learning import reranking
from mtl_pipeline.learning.reranking import Reranker
from mtl_pipeline.spec.recommendations import Diversity

FRAME = pl.DataFrame(
    {
        "user_id": [7] * 4 + [9] * 3,
        "item_id": [1, 2, 3, 4, 4, 3, 1],
        "rank": [1, 2, 3, 4, 1, 2, 3],
        "score": [0.8, 0.7, 0.6, 0.0, 0.5, 0.4, 0.0],
    }
)
"""Items 1, 2 and 3 are mugs, the first two of them the same but for their colour."""


def lists(
    diversity: Diversity | None = None, correction: float = 0.0, per_user: int = 3
) -> dict[int, list[int]]:
    diversity = diversity or Diversity()
    known = pl.DataFrame({"item_id": [1, 2, 3, 4], "_popularity": [0.0, 1.0, 0.3, 0.6]}).with_columns(
        _alike=pl.Series([*["mug"] * 3, "lamp"] if diversity.by else [None] * 4, dtype=pl.String)
    )
    vectors = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)
    best = Reranker(diversity, correction, known, vectors).best(FRAME, per_user)
    assert best["rank"].to_list() == [*range(1, per_user + 1)] * 2
    return dict(best.group_by("user_id", maintain_order=True).agg("item_id").rows())


def test_where_nothing_is_asked_for_the_best_stay_the_best() -> None:
    assert lists() == {7: [1, 2, 3], 9: [4, 3, 1]}


def test_at_most_so_many_of_a_category_while_there_are_others() -> None:
    assert lists(Diversity(by="category", at_most=1), per_user=2) == {7: [1, 4], 9: [4, 3]}
    assert lists(Diversity(by="category", at_most=1)) == {7: [1, 4, 2], 9: [4, 3, 1]}


@pytest.mark.parametrize("at_once", [1, 200])
def test_what_is_like_an_item_before_comes_later(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reranking, "USERS_AT_ONCE", at_once)
    assert lists(Diversity(similarity=0.5)) == {7: [1, 3, 2], 9: [4, 3, 1]}


def test_what_is_popular_comes_later() -> None:
    """Item 2 is the most popular: of 7/8 it keeps 3/8, less than the 3/4 − 0.15 of item 3."""
    assert lists(correction=0.5) == {7: [1, 3, 2], 9: [4, 3, 1]}
