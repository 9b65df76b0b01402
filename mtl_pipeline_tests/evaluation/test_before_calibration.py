"""The report shows what calibration did; what was there before it is no model of its own."""

from __future__ import annotations

import re

import polars as pl
import pytest

from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.figures.task_figures import task_figures
from mtl_pipeline.evaluation.studies.scoring import Evaluation, evaluate
from mtl_pipeline.spec import Task
from mtl_pipeline_tests.evaluation.pages import html_of, markdown_of


@pytest.fixture(scope="module")
def calibrated(predictions: pl.DataFrame) -> pl.DataFrame:
    """Before calibration multi_task took twice as many rows for watched ones."""
    return predictions.with_columns(
        (pl.col("prediction/multi_task/watched") * 2).clip(0, 1).alias("uncalibrated/multi_task/watched"),
        (pl.col("prediction/multi_task/rating") + 1).alias("uncalibrated/multi_task/rating"),
    )


@pytest.fixture(scope="module")
def measured(calibrated: pl.DataFrame, tasks: list[Task]) -> Evaluation:
    return evaluate(calibrated, tasks, bootstrap_samples=200)


def test_nothing_but_the_calibration_table_changes(measured: Evaluation, evaluation: Evaluation) -> None:
    for frame in ("metrics", "comparisons", "thresholds", "whole_chains"):
        assert getattr(measured, frame).equals(getattr(evaluation, frame))


def test_before_and_after_are_measured_on_both_splits(
    measured: Evaluation, calibrated: pl.DataFrame, tasks: list[Task]
) -> None:
    swapped = calibrated.with_columns(
        pl.col(f"uncalibrated/multi_task/{task}").alias(f"prediction/multi_task/{task}")
        for task in ("watched", "rating")
    )
    uncalibrated = evaluate(swapped, tasks, bootstrap_samples=2)
    changed = measured.calibration.filter("calibrated")
    assert set(changed.select("task", "model", "metric").rows()) == {
        ("watched", "multi_task", "ece"),
        ("watched", "multi_task", "log_loss"),
        ("rating", "multi_task", "rmse"),
    }
    assert set(changed["split"]) == {"validation", "test"}
    for row in changed.iter_rows(named=True):
        cell = (row["task"], "multi_task", row["metric"], row["split"])
        assert row["before"] == pytest.approx(uncalibrated.score(*cell).value)
        assert row["after"] == measured.score(*cell).value
        assert row["after"] < row["before"]
    same = measured.calibration.filter(~pl.col("calibrated"))
    assert same["before"].equals(same["after"])
    assert "constant" in same["model"].to_list()


def test_before_is_drawn_beside_after(calibrated: pl.DataFrame, tasks: list[Task]) -> None:
    (drawn,) = [
        figure
        for figure in task_figures(calibrated, tasks[0], "multi_task", [])
        if figure.title == "Calibration"
    ]
    assert "multi_task before" in drawn.svg("one")
    assert "Dotted: multi_task before it was calibrated on validation rows." in drawn.caption


def test_without_calibration_nothing_is_said_of_before(
    evaluation: Evaluation, predictions: pl.DataFrame
) -> None:
    html = html_of(evaluation, ReportContext("movielens", predictions))
    assert "Before and after calibration" not in html
    assert "multi_task before" not in html
    assert "after calibration" not in markdown_of(evaluation, ReportContext("movielens", predictions))


def test_both_reports_show_it_and_how_it_was_chosen(measured: Evaluation, calibrated: pl.DataFrame) -> None:
    context = ReportContext("movielens", calibrated, calibration={"watched": "isotonic: 53,000 rows"})
    html = html_of(measured, context)
    assert html.count("Before and after calibration") == 2
    assert "isotonic: 53,000 rows" in html
    assert "On the test rows it lowered ECE and log-loss; lower is better" in html
    assert re.search(
        r"\| multi_task \| 0\.\d+ → 0\.\d+ \| \d\.\d+ → 0\.\d+ \|", markdown_of(measured, context)
    )


def test_validation_is_said_to_flatter(measured: Evaluation, calibrated: pl.DataFrame) -> None:
    html = html_of(measured, ReportContext("movielens", calibrated))
    assert "whatever is measured on them flatters" in html


def test_calibration_that_makes_predictions_worse_is_shown_as_no_gain(
    calibrated: pl.DataFrame, tasks: list[Task]
) -> None:
    """What `calibrated` was before is here what it becomes."""
    before, after = (pl.col(f"{stage}/multi_task/watched") for stage in ("prediction", "uncalibrated"))
    spoiled = calibrated.with_columns(
        after.alias("prediction/multi_task/watched"), before.alias("uncalibrated/multi_task/watched")
    )
    worse = evaluate(spoiled, tasks[:1], bootstrap_samples=5)
    for row in worse.calibration.filter("calibrated", split="test").iter_rows(named=True):
        assert row["after"] > row["before"]
    context = ReportContext("movielens", spoiled)
    html, markdown = html_of(worse, context), markdown_of(worse, context)
    assert "On the test rows it raised ECE and log-loss; lower is better" in html
    section = html[html.index("Before and after calibration") :]
    section = section[: section.index("</details>")]
    assert 'better"' not in section
    assert "✓" not in section
    ece = markdown[markdown.index("## watched") :].splitlines()[4].split("|").index(" ECE ↓ ")
    cells = [line.split("|")[ece] for line in markdown[markdown.index("## watched") :].splitlines()[6:11]]
    assert len(cells) == 5
    assert not any("**" in cell for cell in cells)


def test_calibration_that_moves_nothing_that_is_printed_is_said_to_change_nothing(
    calibrated: pl.DataFrame, tasks: list[Task]
) -> None:
    barely = calibrated.with_columns(
        (pl.col("prediction/multi_task/watched") * 1.000001).alias("uncalibrated/multi_task/watched")
    )
    html = html_of(evaluate(barely, tasks[:1], bootstrap_samples=5), ReportContext("movielens", barely))
    assert "On the test rows it did not change ECE and log-loss; lower is better" in html
