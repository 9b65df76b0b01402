"""The page of past evaluations."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from mtl_pipeline.champions import Decision, Entry
from mtl_pipeline.evaluation.facts import Facts
from mtl_pipeline.evaluation.metrics.task_metrics import headline
from mtl_pipeline.evaluation.report.figures.trend_figures import drawn_models, value_of
from mtl_pipeline.evaluation.report.page import ReportContext, render_report
from mtl_pipeline.evaluation.report.trend import ROWS_SHOWN, render_trend
from mtl_pipeline.evaluation.studies.history import Difference, Record, make_record
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline_tests.evaluation.test_history import FACTS
from mtl_pipeline_tests.evaluation.test_report import HOSTILE, Page

START = datetime.fromisoformat("2026-10-01T02:00:00+00:00")


@pytest.fixture(scope="module")
def record(evaluation: Evaluation) -> Record:
    decision = Decision("a", "night 0", None, True, False, [], [])
    return make_record(evaluation, decision, FACTS, time=START.isoformat(), examples="e0")


def night(record: Record, place: int) -> Record:
    """Every third model is promoted; from the second night on there is a champion, as good as linear."""
    champion = f"night {(place - 1) // 3 * 3}" if place else None
    tasks = record.tasks
    if champion:
        tasks = [
            replace(
                task,
                values=task.values | {"champion": task.values["linear"]},
                against=task.against | {"champion": task.against["linear"]},
            )
            for task in tasks
        ]
    return replace(
        record,
        time=(START + timedelta(days=place)).isoformat(),
        model=f"night {place}",
        champion=champion,
        promoted=place % 3 == 0,
        tasks=tasks,
    )


def test_one_run_is_one_point_and_the_page_says_so(record: Record) -> None:
    html = render_trend("movielens", [record])
    page = Page(html)
    assert "One evaluation so far, of 2026-10-01 02:00: it is the one point of each figure." in page.text
    assert [tag for tag, _ in page.tags].count("figure") == 3 * 2 + 4
    assert re.search(r"night 0 promoted 0\.\d+ [+−]0\.\d+ \[[+−]0\.\d+, [+−]0\.\d+\] ", page.text)


def test_runs_promotions_and_rollbacks_are_counted_and_drawn(record: Record) -> None:
    nights = [night(record, place) for place in range(8)]
    back = Entry("2026-10-05T12:00:00+00:00", "rolled back", "night 0", "night 3", [])
    before_all = replace(back, time="2026-01-01T00:00:00+00:00")
    html = render_trend("movielens", nights, [before_all, back])
    text = Page(html).text
    assert (
        "8 evaluations from 2026-10-01 02:00 to 2026-10-08 02:00; 3 models were promoted; 1 rollback." in text
    )
    assert text.count("rolled back") == 3  # in the legend of each task
    assert text.index("night 7") < text.index("night 1"), "newest first"
    assert "refused; night 6 stays" in text
    assert "1998-03-30 to 1998-04-22" in text
    assert 'href="report.html"' in html


def test_what_is_drawn(record: Record) -> None:
    nights = [night(record, place) for place in range(3)]
    roc_auc, rmse = headline("binary"), headline("regression")
    assert drawn_models(nights[:1], "watched", roc_auc) == ["multi_task", "single_task", "linear"]
    assert drawn_models(nights, "rating", rmse) == ["multi_task", "champion", "single_task", "linear"]
    few = [
        replace(
            record,
            tasks=[
                replace(
                    task,
                    values={"multi_task": task.values["multi_task"], "constant": task.values["constant"]},
                )
                for task in record.tasks
            ],
        )
    ]
    assert drawn_models(few, "watched", roc_auc) == ["multi_task"], "the ROC-AUC of a constant says nothing"
    assert drawn_models(few, "rating", rmse) == ["multi_task", "constant"]


def test_a_champion_evaluated_again_is_its_own_champion(record: Record) -> None:
    again = replace(record, champion=record.model, promoted=False)
    assert value_of(again, "watched", "champion", "roc_auc") == value_of(
        again, "watched", "multi_task", "roc_auc"
    )
    assert "champion already" in Page(render_trend("movielens", [again])).text


def test_tasks_and_intervals_may_be_missing_in_some_runs(record: Record) -> None:
    none = Difference(None, None, None, "no difference shown")
    gaps = replace(
        night(record, 1),
        rows={},
        label_means={},
        rejected_rows={},
        test_from="",
        test_until="",
        tasks=[replace(record.tasks[0], values={}, against={"single_task": {"roc_auc": none}})],
    )
    text = Page(render_trend("movielens", [gaps, night(record, 2)])).text
    assert "2 evaluations" in text
    Page(render_trend("movielens", [night(record, 2), gaps]))  # only `watched` is declared now
    assert "Mean of rating" not in Page(render_trend("movielens", [night(record, 2), gaps])).text


def test_of_very_many_runs_the_newest_have_a_line_in_the_table(record: Record) -> None:
    nights = [night(record, place) for place in range(ROWS_SHOWN + 30)]
    html = render_trend("movielens", nights)
    assert "without the 30 oldest" in Page(html).text
    assert len(html) < 1_500_000


def test_the_page_needs_no_network_and_escapes_what_is_not_ours(record: Record) -> None:
    hostile = replace(
        record,
        model=HOSTILE,
        rows={HOSTILE: 3},
        rejected_rows={HOSTILE: 2},
        label_means={HOSTILE: 0.5},
        tasks=[replace(record.tasks[0], task=HOSTILE)],
    )
    html = render_trend(HOSTILE, [hostile])
    page = Page(html)
    assert not {"script", "img", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert not re.search(r"url\((?!#)|@import", html)
    for _, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in ("href", "xlink:href", "src") or (value or "").startswith(("#", "report.html"))
    assert "<script>alert" in page.text


def test_the_report_links_to_the_page(evaluation: Evaluation, predictions: object) -> None:
    context = ReportContext("movielens", predictions, facts=Facts(), trend="trend.html")  # type: ignore[arg-type]
    assert '<a href="trend.html">Past evaluations</a>' in render_report(evaluation, context)
