"""A simulator knows the true probabilities: how far is the best model from them?"""

from __future__ import annotations

import logging
from pathlib import Path

import polars as pl
import pytest

from mtl_pipeline.errors import UserError
from mtl_pipeline.evaluation.studies.ceiling import with_ceiling
from mtl_pipeline.evaluation.studies.scoring import Evaluation, evaluate
from mtl_pipeline.metrics.metric import CEILING_SHARE
from mtl_pipeline.spec import Task

KEY = ["user_id", "item_id"]
TASKS = [Task(name="click", kind="binary"), Task(name="buy", kind="binary", given="click")]


@pytest.fixture
def predictions() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "example_id": [0, 1, 2],
            "user_id": [7, 7, 8],
            "item_id": [1, 2, 1],
            "label/click": [1.0, 0.0, 1.0],
            "label/buy": [0.0, None, 1.0],
        }
    )


def write_truth(folder: Path, **columns: list) -> Path:
    """The rows are in another order than the predictions, and their ids of another type."""
    path = folder / "truth.parquet"
    truth = {
        "user_id": ["8", "7", "7"],
        "item_id": [1, 2, 1],
        "click": [0.8, 0.2, 0.7],
        "buy": [0.6, None, 0.1],
    }
    pl.DataFrame(truth | columns).write_parquet(path)
    return path


def test_each_row_finds_its_own_truth(predictions: pl.DataFrame, tmp_path: Path) -> None:
    found = with_ceiling(predictions, write_truth(tmp_path), KEY, TASKS)
    assert found.drop("^prediction/.*$").equals(predictions)
    assert found["prediction/ceiling/click"].to_list() == [0.7, 0.2, 0.8]
    assert found["prediction/ceiling/buy"].to_list() == [0.1, None, 0.6]  # not observed: no truth is needed


def test_a_task_whose_observed_rows_find_no_truth_is_left_out_with_a_warning(
    predictions: pl.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = with_ceiling(predictions, write_truth(tmp_path, item_id=[1, 99, 1]), KEY, TASKS)
    assert "prediction/ceiling/click" not in found.columns
    assert "prediction/ceiling/buy" in found.columns
    assert "task click has no ceiling: 1 observed rows" in caplog.text
    assert "example_id 1" in caplog.text


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user_id": ["7", "7", "7"], "item_id": [1, 1, 2]}, "must identify a row"),
        ({"user_id": ["a", "b", "c"]}, "of the predictions' types"),
    ],
)
def test_a_truth_that_cannot_be_joined_is_refused(
    predictions: pl.DataFrame, tmp_path: Path, columns: dict, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        with_ceiling(predictions, write_truth(tmp_path, **columns), KEY, TASKS)


def test_a_missing_key_is_named(predictions: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the predictions: no column item_id"):
        with_ceiling(predictions.drop("item_id"), write_truth(tmp_path), KEY, TASKS)
    with pytest.raises(UserError, match=r"truth.parquet: no column timestamp"):
        with_ceiling(predictions, write_truth(tmp_path), [*KEY, "timestamp"], TASKS)


def test_the_ceiling_stands_last_and_takes_no_part_in_verdicts(other_evaluation: Evaluation) -> None:
    for task in other_evaluation.tasks:
        assert other_evaluation.models(task.name)[-2:] == ["multi_task", "ceiling"]
    assert "ceiling" not in other_evaluation.comparisons["baseline"]


def test_the_share_of_the_way_from_constant_to_ceiling(other_evaluation: Evaluation) -> None:
    def score(model: str, metric: str) -> float:
        return other_evaluation.score("visits", model, metric).value

    constant, ours, best = (
        score(model, "poisson_deviance") for model in ("constant", "multi_task", "ceiling")
    )
    share = score("multi_task", CEILING_SHARE.name)
    assert share == pytest.approx((constant - ours) / (constant - best))
    assert 0.7 < share < 1
    assert (score("constant", CEILING_SHARE.name), score("ceiling", CEILING_SHARE.name)) == (0, 1)


def test_a_ceiling_known_only_where_the_label_was_observed_is_enough(predictions: pl.DataFrame) -> None:
    rows = pl.concat([predictions.with_columns(split=pl.lit(split)) for split in ("validation", "test")])
    known = rows.with_columns(
        pl.lit(0.4).alias("prediction/constant/buy"),
        pl.lit(0.5).alias("prediction/multi_task/buy"),
        pl.col("label/buy").replace({0.0: 0.1, 1.0: 0.9}).alias("prediction/ceiling/buy"),
    )
    evaluation = evaluate(known, TASKS[1:], bootstrap_samples=5)
    assert evaluation.score("buy", "ceiling", "roc_auc").value == 1
