"""The report's figure of past evaluations."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from xml.etree import ElementTree

import polars as pl
import pytest

from mtl_pipeline.champions import Decision
from mtl_pipeline.evaluation.facts import Facts
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.sections.past import MOST_RECORDS, history_figure
from mtl_pipeline.evaluation.studies.runs.history import Record, make_record
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline_tests.evaluation.pages import html_of

START = datetime.fromisoformat("2026-10-01T02:00:00+00:00")


@pytest.fixture(scope="module")
def nights(evaluation: Evaluation) -> list[Record]:
    decision = Decision("a", "new", None, True, False, [], [])
    record = make_record(evaluation, decision, Facts(), time=START.isoformat(), examples="e")
    return [
        replace(record, time=(START + timedelta(days=day)).isoformat(), promoted=day % 3 == 0)
        for day in range(MOST_RECORDS + 50)
    ]


def test_every_task_has_a_panel_with_the_candidate_and_the_network_for_it_alone(nights: list[Record]) -> None:
    figure = history_figure(nights[:8])
    texts = [element.text for element in ElementTree.fromstring(figure.svg("one")).iter() if element.text]
    for text in ("watched, ROC-AUC ↑", "rating, RMSE ↓", "multi_task", "single_task", "promoted"):
        assert text in texts


def test_tasks_may_be_missing_or_of_another_kind_in_some_evaluations(nights: list[Record]) -> None:
    newest, older = nights[1], nights[0]
    others = [replace(older.tasks[0], kind="count"), *older.tasks[2:]]
    assert "multi_task" in history_figure([replace(older, tasks=others), newest]).svg("one")
    assert "multi_task" in history_figure([older, replace(newest, tasks=newest.tasks[:1])]).svg("one")


def test_of_very_many_evaluations_the_newest_are_drawn(nights: list[Record]) -> None:
    assert len(history_figure(nights).svg("one")) < 150_000


def test_the_report_shows_it(nights: list[Record], evaluation: Evaluation, predictions: pl.DataFrame) -> None:
    title = "Scores from one evaluation to the next"
    assert title in html_of(evaluation, ReportContext("shop", predictions, past=nights[:2]), figures=True)
    assert title not in html_of(evaluation, ReportContext("shop", predictions, past=nights[:1]), figures=True)


def test_first_looks_are_not_drawn_among_full_runs(
    nights: list[Record], evaluation: Evaluation, predictions: pl.DataFrame
) -> None:
    past = [replace(nights[0], quick=True), nights[1]]
    page = html_of(evaluation, ReportContext("shop", predictions, past=past), figures=True)
    assert "Scores from one evaluation to the next" not in page
