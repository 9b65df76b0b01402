"""The section 'Inside the model': what is there is shown, what is not is left out, and nothing is markup but ours."""

from __future__ import annotations

import polars as pl
import pytest

from mtl_pipeline.evaluation.report.conflict_report import (
    conflict_figure,
    conflict_sentences,
    cosines_by_pair,
)
from mtl_pipeline.evaluation.report.page import ReportContext, render_report
from mtl_pipeline.evaluation.studies.largest_errors import largest_errors
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.spec import Task
from mtl_pipeline_tests.evaluation.test_report import HOSTILE, Page

LOG = [
    {"epoch": 0.5 * (place + 1), "gradient_cosine/watched~liked": cosine, "gradient_cosine/liked~rating": 0.8}
    for place, cosine in enumerate((0.3, -0.1, -0.2))
]


def inside(predictions: pl.DataFrame, tasks: list[Task], slices: pl.DataFrame) -> dict[str, pl.DataFrame]:
    errors = largest_errors(predictions, tasks, slices, candidate="multi_task")
    groups = [
        (task.name, group, group.startswith("all"))
        for task in tasks
        for group in ("all history", "age", "genres")
    ]
    return {
        "importance": pl.DataFrame(
            {
                "task": [task for task, _, _ in groups],
                "metric": ["roc_auc"] * len(groups),
                "family": ["history"] * len(groups),
                "group": [group for _, group, _ in groups],
                "is_family": [is_family for _, _, is_family in groups],
                "importance": [0.2, 0.1, -0.0001] * len(tasks),
                "spread": [0.001] * len(groups),
                "score": [0.86] * len(groups),
                "permutations": [5] * len(groups),
                "rows": [9_000] * len(groups),
            }
        ),
        "experts": pl.DataFrame(
            {
                "task": [task.name for task in tasks for _ in range(2)],
                "expert": [1, 2] * len(tasks),
                "owner": pl.Series([None, tasks[0].name] * len(tasks), dtype=pl.String),
                "weight": [0.8, 0.2] * len(tasks),
                "deviation": [0.1, 0.1] * len(tasks),
                "rows": [9_000] * 2 * len(tasks),
            }
        ),
        "largest_errors": errors.with_columns(pl.lit(f"Tale {HOSTILE}").alias("item_text")),
    }


@pytest.fixture(scope="module")
def frames(predictions: pl.DataFrame, tasks: list[Task], slices: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return inside(predictions, tasks, slices)


@pytest.fixture(scope="module")
def page(evaluation: Evaluation, predictions: pl.DataFrame, frames: dict[str, pl.DataFrame]) -> Page:
    return Page(render_report(evaluation, ReportContext("movielens", predictions, LOG, inside=frames)))


def test_one_section_says_how_to_read_each_part(page: Page) -> None:
    for expected in (
        "Inside the model",
        "watched (ROC-AUC 0.860): most is lost without all history (0.200); of single features, without age (0.100).",
        "Mean weight of each expert over the task's test rows, a task's weights adding up to 1",
        "watched 0.80 ± 0.10 0.20 ± 0.10",
        "watched ~ liked: 0.00 on average, below zero in 2 of 3 rounds",
        "liked ~ rating: +0.80 on average, below zero in 0 of 3 rounds",
        "The 10 test rows of each task with the largest loss, after calibration, at most 2 of one user.",
    ):
        assert expected in page.text


def test_hostile_titles_stay_text(page: Page) -> None:
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.text.count("Tale \"><script>alert('x')</script>") == 30
    assert "{{ 7 * 7 }}" in page.text


def test_parts_that_are_not_there_are_left_out(
    evaluation: Evaluation, predictions: pl.DataFrame, frames: dict[str, pl.DataFrame]
) -> None:
    nothing = Page(render_report(evaluation, ReportContext("movielens", predictions)))
    assert "Inside the model" not in nothing.text
    one_expert = frames["experts"].filter(expert=1).with_columns(weight=1.0)
    only = {"experts": one_expert, "largest_errors": frames["largest_errors"].drop("item_text")}
    text = Page(render_report(evaluation, ReportContext("movielens", predictions, inside=only))).text
    assert "Where it is most wrong" in text
    for absent in (
        "What each task relies on",
        "Which experts",
        "Conflict between the tasks",
        "item's text",
    ):
        assert absent not in text


def test_a_line_ends_where_a_task_is_held() -> None:
    pairs = cosines_by_pair([*LOG, {"epoch": 2.0, "gradient_cosine/liked~rating": 0.0}, {"epoch": 2.5}])
    assert [len(cosines) for _, cosines in pairs.values()] == [3, 4]
    assert conflict_sentences(pairs)[1].startswith(
        "liked ~ rating: +0.60 on average, below zero in 0 of 4 rounds"
    )
    assert conflict_figure({}) is None


def test_many_pairs_take_two_columns() -> None:
    pairs = {
        f"a{place} ~ b": pair for place in range(7) for pair in [cosines_by_pair(LOG)["watched ~ liked"]]
    }
    figure = conflict_figure(pairs)
    assert figure is not None
    assert all(f"a{place} ~ b" in figure.svg for place in range(7))
    assert "cosine of the two gradients (−1 to 1)" in figure.svg
    assert "epoch (passes over the training rows)" in figure.svg
