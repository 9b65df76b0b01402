"""The truth is the truth: nothing can predict better, and labels occur as often as it says."""

from __future__ import annotations

import numpy as np
import polars as pl
from sklearn.metrics import roc_auc_score

from mtl_pipeline.spec import Task
from mtl_pipeline_tests.simulation.conftest import Simulated

DEVIATIONS = 4


def observed(simulated: Simulated, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Labels and truth of the rows where the label is observed."""
    rows = simulated.rows.drop_nulls(task.column)
    return rows[task.column].to_numpy().astype(float), rows[f"true_{task.name}"].to_numpy().astype(float)


def test_every_clean_interaction_has_its_truth_and_nothing_else_has(simulated: Simulated) -> None:
    truths = [f"true_{task.name}" for task in simulated.spec.tasks]

    assert len(simulated.rows) == simulated.summary.interactions
    assert simulated.rows.select(*truths, "click").null_count().row(0) == (0, 0, 0, 0)


def test_labels_occur_as_often_as_the_truth_says(simulated: Simulated) -> None:
    for task in simulated.spec.tasks:
        label, truth = observed(simulated, task)
        # At every level of the truth, not only on average.
        for part in np.array_split(np.argsort(truth), 5):
            error = (label - truth)[part]
            spread = truth[part] * (1 - truth[part]) if task.kind == "binary" else error**2
            assert abs(error.sum()) < DEVIATIONS * np.sqrt(spread.sum()), task.name


def test_the_truth_orders_rows_better_than_any_single_feature(simulated: Simulated) -> None:
    features = simulated.spec.features
    numeric = [*features.users.numeric, *features.items.numeric, *features.interactions.numeric]
    for task in simulated.spec.tasks:
        if task.kind != "binary":
            continue
        label, truth = observed(simulated, task)
        rows = simulated.rows.drop_nulls(task.column)
        best = max(
            abs(roc_auc_score(label, rows[column].fill_null(0).to_numpy()) - 0.5) + 0.5 for column in numeric
        )
        assert 0.73 < roc_auc_score(label, truth) < 0.87, task.name
        assert roc_auc_score(label, truth) > best + 0.1, task.name


def test_base_rates_are_those_of_real_logs(simulated: Simulated) -> None:
    assert 0.08 < observed(simulated, simulated.spec.task("click"))[0].mean() < 0.2
    for task in simulated.spec.tasks[1:]:
        if task.kind == "binary":
            assert 0.08 < observed(simulated, task)[0].mean() < 0.35


def test_the_true_rating_beats_every_constant(shop: Simulated) -> None:
    rating, expected = observed(shop, shop.spec.task("rating"))

    assert set(rating) == {1, 2, 3, 4, 5}
    assert np.mean((rating - expected) ** 2) < 0.8 * rating.var()


def test_later_tasks_are_observed_only_where_the_earlier_one_happened(simulated: Simulated) -> None:
    for task in simulated.spec.tasks:
        if task.given:
            before = simulated.rows.drop_nulls(task.column)[simulated.spec.task(task.given).column]
            assert before.eq(1).all()


def test_labels_are_missing_more_often_under_some_circumstances_than_under_others(
    shop: Simulated, social: Simulated, news: Simulated
) -> None:
    def share_observed(rows: pl.DataFrame, task: str, circumstance: pl.Expr) -> float:
        return float(rows.filter(circumstance)[task].is_not_null().mean())  # type: ignore[arg-type]

    bought = shop.rows.filter(pl.col("purchase") == 1)
    assert share_observed(bought, "rating", pl.col("device") == "phone") < 0.75
    assert share_observed(bought, "rating", pl.col("device") == "desktop") > 0.75
    clicked = social.rows.filter(pl.col("click") == 1)
    assert share_observed(clicked, "comment", pl.col("device") == "tablet") == 0
    assert share_observed(clicked, "comment", pl.col("device") == "phone") == 1
    clicked = news.rows.filter(pl.col("click") == 1)
    assert share_observed(clicked, "comment", pl.col("hour").cast(pl.Int32) < 6) == 0
