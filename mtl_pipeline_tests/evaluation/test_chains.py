"""The probability of a whole chain: purchase of all impressions, not of the clicked ones alone."""

from __future__ import annotations

import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from mtl_pipeline.evaluation.studies.chains import chain_rows, whole_chains
from mtl_pipeline.evaluation.studies.scoring import Evaluation, evaluate
from mtl_pipeline.spec import Task

VIEW = Task(name="view", kind="binary")
CLICK = Task(name="click", kind="binary", given="view")
BUY = Task(name="buy", kind="binary", given="click")
AMOUNT = Task(name="amount", kind="regression", given="buy")


def test_each_binary_task_that_is_given_another_ends_a_chain() -> None:
    assert whole_chains([VIEW, CLICK, BUY, AMOUNT]) == [[VIEW, CLICK], [VIEW, CLICK, BUY]]
    assert whole_chains([VIEW]) == []
    assert whole_chains([BUY, CLICK]) == []  # `view` is not evaluated


def test_labels_and_predictions_are_products_over_the_rows_where_the_first_label_was_observed() -> None:
    predictions = pl.DataFrame(
        {
            "example_id": [0, 1, 2, 3, 4],
            "user_id": [1, 1, 2, 2, 2],
            "split": ["test"] * 5,
            "label/view": [1.0, 1.0, 0.0, None, 1.0],
            "label/click": [1.0, 0.0, None, 1.0, None],  # the last row: viewed, and the rest not known
            "prediction/linear/view": [0.5, 0.5, 0.5, 0.5, 0.5],
            "prediction/linear/click": [0.2, 0.4, 0.6, 0.8, 1.0],
            "prediction/multi_task/view": [0.9, 0.8, 0.1, 0.5, 0.5],
            "prediction/multi_task/click": [0.9, 0.5, 0.5, 0.5, 0.5],
            "prediction/only_clicks/click": [0.9, 0.5, 0.5, 0.5, 0.5],
        }
    )
    rows = chain_rows(predictions, [VIEW, CLICK], "multi_task")
    assert rows.labels.tolist() == [1, 0, 0]
    assert rows.predictions["linear"] == pytest.approx([0.1, 0.2, 0.3])
    assert rows.predictions["multi_task"] == pytest.approx([0.81, 0.4, 0.05])
    assert "only_clicks" not in rows.predictions


def test_whole_chains_are_scored_on_every_row_of_the_first_task(
    evaluation: Evaluation, predictions: pl.DataFrame
) -> None:
    test = predictions.filter(pl.col("split") == "test")
    found = evaluation.whole_chains.filter(pl.col("model") == "linear", pl.col("metric") == "roc_auc").row(
        0, named=True
    )
    assert (found["task"], found["chain"], found["rows"]) == ("liked", "watched → liked", test.height)
    expected = roc_auc_score(
        test["label/liked"].fill_null(0),
        test["prediction/linear/watched"].cast(pl.Float64) * test["prediction/linear/liked"].cast(pl.Float64),
    )
    assert found["value"] == pytest.approx(expected)


def test_a_ceiling_that_does_not_know_every_row_is_left_out_of_the_chain(
    predictions: pl.DataFrame, tasks: list[Task]
) -> None:
    known = predictions.with_columns(
        pl.lit(0.2).alias("prediction/ceiling/watched"),
        pl.when(pl.col("label/liked").is_not_null()).then(0.5).alias("prediction/ceiling/liked"),
    )
    evaluation = evaluate(known, tasks[:2], bootstrap_samples=1)
    assert "ceiling" in evaluation.models("liked")
    assert "ceiling" not in evaluation.whole_chains["model"]


def test_whole_chains_are_compared_with_intervals_over_users(
    evaluation: Evaluation, predictions: pl.DataFrame
) -> None:
    """As if the chain were one task of its own."""
    product = predictions.select(
        "example_id",
        "user_id",
        "split",
        pl.col("label/liked").fill_null(0).alias("label/both"),
        *(
            (
                pl.col(f"prediction/{model}/watched").cast(pl.Float64) * pl.col(f"prediction/{model}/liked")
            ).alias(f"prediction/{model}/both")
            for model in evaluation.models("liked")
        ),
    )
    one_task = evaluate(product, [Task(name="both", kind="binary")], bootstrap_samples=200).comparisons
    found = evaluation.chain_comparisons
    assert found["chain"].unique().to_list() == ["watched → liked"]
    assert found.drop("chain", "task").equals(one_task.drop("task"))
    assert found.filter(baseline="linear")["verdict"].to_list() == ["better", "better"]
    assert "single_task" in found["baseline"]


def test_a_chain_of_one_class_has_no_verdict(predictions: pl.DataFrame, tasks: list[Task]) -> None:
    never = predictions.with_columns(pl.col("label/liked") * 0)
    found = evaluate(never, tasks[:2], bootstrap_samples=5).chain_comparisons.filter(metric="roc_auc")
    assert found["verdict"].unique().to_list() == ["no difference shown"]
    assert "only one class" in found["note"][0]
