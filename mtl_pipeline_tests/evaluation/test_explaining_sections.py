"""The sections that explain the model: what is there is shown, what is not is left out, no foreign text is markup."""

from __future__ import annotations

import polars as pl
import pytest

from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.sections.inside.conflict import (
    conflict_figure,
    conflict_sentences,
    cosines_by_pair,
)
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.spec import Task
from mtl_pipeline_tests.evaluation.pages import LOG, Page, explaining_frames, page_of


@pytest.fixture(scope="module")
def frames(predictions: pl.DataFrame, tasks: list[Task], slices: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return explaining_frames(predictions, tasks, slices)


@pytest.fixture(scope="module")
def page(evaluation: Evaluation, predictions: pl.DataFrame, frames: dict[str, pl.DataFrame]) -> Page:
    return page_of(evaluation, ReportContext("movielens", predictions, LOG, parts=frames))


def test_one_section_says_how_to_read_each_part(page: Page) -> None:
    for expected in (
        "Features",
        "Experts",
        "Task conflict",
        "watched (ROC-AUC 0.860): most is lost without all history (0.200); of single features, without age (0.100).",
        "Mean weight of each expert over the task's test rows, a task's weights adding up to 1",
        "In the joint network, each task listens most to one expert: watched to expert 1; liked (half of what",
        "watched 0.80 ± 0.10 0.20 ± 0.10",
        "Collapsed: expert 2 (watched's own).",
        "units that say nothing 3 % 97 %",
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
    nothing = page_of(evaluation, ReportContext("movielens", predictions))
    assert "Features" not in nothing.text
    one_expert = frames["experts"].filter(expert=1).with_columns(weight=1.0)
    only = {"experts": one_expert, "largest_errors": frames["largest_errors"].drop("item_text")}
    text = page_of(evaluation, ReportContext("movielens", predictions, parts=only)).text
    assert "Largest errors" in text
    for absent in (
        "Features",
        "Experts",
        "Task conflict",
        "item's text",
    ):
        assert absent not in text


def test_a_line_ends_where_a_task_is_frozen() -> None:
    pairs = cosines_by_pair([*LOG, {"epoch": 2.0, "gradient_cosine/liked~rating": 0.0}, {"epoch": 2.5}])
    assert [len(cosines) for _, cosines in pairs.values()] == [3, 4]
    assert conflict_sentences(pairs)[1].startswith(
        "liked ~ rating: +0.60 on average, below zero in 0 of 4 rounds"
    )


def test_many_pairs_take_two_columns() -> None:
    pairs = {
        f"a{place} ~ b": pair for place in range(7) for pair in [cosines_by_pair(LOG)["watched ~ liked"]]
    }
    svg = conflict_figure(pairs).svg("one")
    assert all(f"a{place} ~ b" in svg for place in range(7))
    assert "cosine of the two gradients (−1 to 1)" in svg
    assert "epoch (passes over the training rows)" in svg
