"""Ranked lists, against scikit-learn and by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import ndcg_score

from mtl_pipeline.evaluation.report.document import BEST
from mtl_pipeline.evaluation.report.sections.tasks.ranked_lists import list_table
from mtl_pipeline.evaluation.studies.lists.ranked_lists import (
    list_scores,
    measure_ranking,
    ranked_chains,
    ranks_of_hits,
)
from mtl_pipeline.spec import Task

CLICK = Task(name="click", kind="binary")
BUY = Task(name="buy", kind="binary", given="click")


def frame(users: list, labels: Sequence[float], scores: Sequence[float], **more: Any) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "example_id": range(len(users)),
            "user_id": users,
            "split": ["test"] * len(users),
            "label/click": labels,
            "prediction/multi_task/click": scores,
        }
        | more
    )


def values(ranking: pl.DataFrame, model: str = "multi_task") -> dict[str, float]:
    return dict(ranking.filter(pl.col("model") == model).select("metric", "value").rows())


def measure(rows: pl.DataFrame, tasks: list[Task] | None = None, **options: Any) -> pl.DataFrame:
    return measure_ranking(rows, tasks or [CLICK], candidate="multi_task", bootstrap_samples=50, **options)


def test_two_users_worked_by_hand() -> None:
    """Ann's hits stand at ranks 1 and 3 of 3, Bob's at rank 2 of 2; Cat has none and is left out."""
    found = measure(
        frame(
            ["ann", "bob", "ann", "cat", "ann", "bob"],
            [1, 0, 0, 0, 1, 1],
            [0.9, 0.8, 0.5, 0.7, 0.1, 0.2],
        )
    )
    ann = (1 + 1 / math.log2(4)) / (1 + 1 / math.log2(3))
    assert values(found) == pytest.approx(
        {"ndcg": (ann + 1 / math.log2(3)) / 2, "recall": 1, "hit_rate": 1, "mrr": (1 + 1 / 2) / 2}
    )
    assert found["users"].unique().to_list() == [2]
    assert found["rows"].unique().to_list() == [5]


def test_only_the_first_ten_rows_count_but_for_the_reciprocal_rank() -> None:
    """Twelve rows: hits at ranks 11 and 12; and twelve hits in twelve rows, of which ten can be shown."""
    falling = [1 - place / 100 for place in range(12)]
    late = measure(frame(["ann"] * 12, [0] * 10 + [1, 1], falling))
    assert values(late) == pytest.approx({"ndcg": 0, "recall": 0, "hit_rate": 0, "mrr": 1 / 11})
    full = measure(frame(["ann"] * 12, [1] * 12, falling))
    assert values(full) == pytest.approx({"ndcg": 1, "recall": 10 / 12, "hit_rate": 1, "mrr": 1})


def test_ndcg_is_that_of_scikit_learn_for_lists_of_any_length() -> None:
    rng = np.random.default_rng(1)
    user = rng.integers(40, size=1_500)
    label = (rng.random(1_500) < 0.2).astype(float)
    score = rng.permutation(1_500) / 1_500
    expected = [
        ndcg_score([label[user == one]], [score[user == one]], k=10)
        for one in range(40)
        if label[user == one].any()
    ]
    found = values(measure(frame(user.tolist(), label.tolist(), score.tolist())))
    assert found["ndcg"] == pytest.approx(np.mean(expected), abs=1e-6)


def test_ties_are_broken_by_the_seed_and_not_by_the_order_of_the_rows() -> None:
    """A constant earns what a random order earns, though hits stand first in the log."""
    users = np.repeat(np.arange(4_000), 5).tolist()
    rows = frame(users, [1, 0, 0, 0, 0] * 4_000, [0.5] * 20_000)
    found = values(measure(rows, seed=1))
    assert found["mrr"] == pytest.approx(np.mean([1 / rank for rank in range(1, 6)]), abs=0.02)
    assert values(measure(rows, seed=1)) == found
    assert values(measure(rows, seed=2)) != found


def test_models_that_rank_alike_tie_alike() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(3, size=2_000) / 4
    rows = frame(
        rng.integers(50, size=2_000).tolist(), rng.integers(2, size=2_000).tolist(), coarse.tolist()
    ).with_columns((pl.col("prediction/multi_task/click") / 2).alias("prediction/linear/click"))
    found = measure(rows).filter(pl.col("model") == "linear")
    assert found["difference"].to_list() == [0] * 4
    assert found["difference_low"].to_list() == found["difference_high"].to_list() == [0] * 4


def test_ranks_when_the_order_of_ties_has_no_room_for_all_its_bits() -> None:
    """A million users leave eleven bits: rows that do not tie are still ranked exactly."""
    users = np.array([0, 0, 0, 2**20, 2**20])
    scores = np.array([0.1, 0.3, 0.2, 0.0, 1.0])
    starts_at_its_user = np.array([1, 1, 0, 1, 0])
    user, rank = ranks_of_hits(users, scores, starts_at_its_user, np.arange(5) * 2**20)
    assert (user.tolist(), rank.tolist()) == ([0, 0, 2**20], [1, 3, 2])


def test_a_better_order_is_found_and_a_worse_one() -> None:
    rng = np.random.default_rng(4)
    appeal = rng.normal(size=8_000)
    label = (rng.random(8_000) < 1 / (1 + np.exp(2 - 2 * appeal))).astype(float)
    rows = frame(
        rng.integers(300, size=8_000).tolist(),
        label.tolist(),
        (1 / (1 + np.exp(-appeal - 0.3 * rng.normal(size=8_000)))).tolist(),
        **{
            "prediction/linear/click": (1 / (1 + np.exp(-appeal - 2 * rng.normal(size=8_000)))).tolist(),
            "prediction/ceiling/click": (1 / (1 + np.exp(-appeal))).tolist(),
        },
    )
    found = measure(rows).filter(pl.col("metric") == "ndcg")
    verdicts = dict(found.select("model", "verdict").rows())
    assert verdicts == {"linear": "better", "multi_task": None, "ceiling": None}
    reversed_roles = measure_ranking(rows, [CLICK], candidate="linear", bootstrap_samples=50)
    worse = reversed_roles.filter(pl.col("model") == "multi_task", pl.col("metric") == "ndcg")
    assert worse["verdict"].to_list() == ["worse"]
    assert (found["low"] < found["value"]).all()
    assert (found["value"] < found["high"]).all()


def test_the_end_of_a_chain_is_ranked_by_the_probability_of_all_of_it() -> None:
    rows = frame(
        ["ann"] * 3,
        [1, 1, 0],
        [0.9, 0.3, 0.8],
        **{"label/buy": [1, 0, None], "prediction/multi_task/buy": [0.1, 0.9, 0.5]},
    )
    found = measure(rows, [CLICK, BUY])
    assert found["list"].unique(maintain_order=True).to_list() == ["click", "click → buy"]
    by_chain = values(found.filter(pl.col("task") == "buy"))
    assert by_chain["mrr"] == pytest.approx(1 / 3)  # 0.09 stands behind 0.27 and 0.40
    assert list_scores(found, "multi_task")["click → buy NDCG@10"] == pytest.approx(1 / 2)


def test_links_in_the_middle_of_a_chain_have_no_list_of_their_own() -> None:
    share = Task(name="share", kind="binary")
    rating = Task(name="rating", kind="regression", given="buy")
    again = Task(name="again", kind="binary", given="buy")
    chains = ranked_chains([CLICK, BUY, again, rating, share])
    assert [[task.name for task in chain] for chain in chains] == [
        ["click"],
        ["share"],
        ["click", "buy", "again"],
    ]


def test_what_is_bad_has_no_list_and_does_not_hide_what_it_spoils() -> None:
    returned = Task(name="returned", kind="binary", given="buy", good=False)
    hidden = Task(name="hidden", kind="binary", good=False)
    chains = ranked_chains([CLICK, BUY, returned, hidden])
    assert [[task.name for task in chain] for chain in chains] == [["click"], ["click", "buy"]]


def test_nothing_is_ranked_without_users_hits_or_binary_tasks() -> None:
    rows = frame(["ann", "bob"], [0, 0], [0.1, 0.2])
    assert measure(rows).is_empty()
    assert measure(rows.drop("user_id")).is_empty()
    assert measure(rows, [Task(name="click", kind="regression")]).is_empty()


def test_one_user_has_values_without_intervals() -> None:
    rows = frame(["ann", "ann"], [1, 0], [0.3, 0.2], **{"prediction/linear/click": [0.1, 0.2]})
    found = measure(rows)
    assert set(found["note"]) == {"no interval: it takes 10 users, here there is 1"}
    table = list_table(found, "multi_task")
    assert [row[0].text for row in table.cells] == ["linear", "multi_task"]
    assert (table.cells[1][1].text, table.cells[1][1].tone) == ("1.000", BEST)
    assert list(table.notes) == ["no interval: it takes 10 users, here there is 1"]
