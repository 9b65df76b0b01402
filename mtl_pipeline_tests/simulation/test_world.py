"""What makes a log hard to learn from is in the simulated ones: skew, bias, newcomers and conflicts."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mtl_pipeline_tests.simulation.conftest import Simulated


def split(simulated: Simulated) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The first 80 % of the rows by time and the last 10 %."""
    rows = simulated.rows
    return rows.head(len(rows) * 8 // 10), rows.tail(len(rows) // 10)


def rate(rows: pl.DataFrame, task: str, condition: pl.Expr) -> float:
    return float(rows.filter(condition)[task].mean())  # type: ignore[arg-type]


def test_some_users_and_items_appear_only_late(simulated: Simulated) -> None:
    train, test = split(simulated)
    for column in ("user_id", "item_id"):
        new = set(test[column]) - set(train[column])
        assert len(new) > 0.05 * test[column].n_unique()


def test_every_article_of_the_test_split_is_new(news: Simulated) -> None:
    train, test = split(news)

    assert not set(test["item_id"]) & set(train["item_id"])
    per_day = news.rows.group_by(pl.col("timestamp").dt.date()).agg(pl.col("item_id").n_unique())
    assert per_day["item_id"].min() >= 10  # type: ignore[operator]


def test_nothing_is_shown_before_it_was_published(news: Simulated) -> None:
    assert (news.rows["timestamp"] >= news.rows["published"]).all()


@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_a_tenth_of_the_users_and_items_make_up_much_of_the_log(simulated: Simulated, column: str) -> None:
    counts = simulated.rows[column].value_counts()["count"].sort(descending=True)

    assert counts.head(len(counts) // 10).sum() > 0.3 * int(counts.sum())


def test_the_top_of_the_slate_is_clicked_most(simulated: Simulated) -> None:
    top, middle, bottom = (rate(simulated.rows, "click", pl.col("position") == place) for place in (1, 4, 8))

    assert top > 1.3 * middle > 1.3 * bottom


def test_bait_attracts_clicks_and_disappoints(shop: Simulated, social: Simulated, news: Simulated) -> None:
    bait = {
        "shop": pl.col("title").str.contains(": "),
        "social": pl.col("text_of_item").str.contains(" ... ", literal=True),
        "news": pl.col("title").str.contains("! "),
    }
    for simulated, task in ((shop, "purchase"), (social, "like"), (news, "share")):
        is_bait = bait[simulated.summary.scenario]
        assert rate(simulated.rows, "click", is_bait) > 1.2 * rate(simulated.rows, "click", ~is_bait)
        assert rate(simulated.rows, task, is_bait) < 0.8 * rate(simulated.rows, task, ~is_bait)
    is_bait = bait["shop"]
    assert rate(shop.rows, "rating", is_bait) < rate(shop.rows, "rating", ~is_bait) - 0.4


def test_heated_posts_get_comments_and_calm_ones_likes(social: Simulated) -> None:
    heated = pl.col("text_of_item").str.contains("outrage|fight about it|is wrong")
    calm = pl.col("text_of_item").str.contains("peaceful|grateful|warm and kind")

    assert rate(social.rows, "comment", heated) > 2 * rate(social.rows, "comment", calm)
    assert rate(social.rows, "like", heated) < 0.5 * rate(social.rows, "like", calm)


def test_price_and_purchases_so_far_decide_on_the_next_one(shop: Simulated) -> None:
    rows = shop.rows.with_columns(
        earlier=(pl.col("purchase").fill_null(0).cum_sum() - pl.col("purchase").fill_null(0)).over("user_id"),
        dear=pl.col("log_price") - pl.col("log_price").median().over("category"),
    )
    assert rate(rows, "click", pl.col("dear") < -0.5) > 1.1 * rate(rows, "click", pl.col("dear") > 0.5)
    assert rate(rows, "true_purchase", pl.col("earlier") >= 4) > 1.5 * rate(
        rows, "true_purchase", pl.col("earlier") == 0
    )


def test_tasks_are_related_through_taste(simulated: Simulated) -> None:
    first, second = (f"true_{task.name}" for task in simulated.spec.tasks[:2])
    within_item = simulated.rows.select(
        pl.col(name).log() - pl.col(name).log().mean().over("item_id") for name in (first, second)
    )

    assert np.corrcoef(within_item.to_numpy().T)[0, 1] > 0.3
