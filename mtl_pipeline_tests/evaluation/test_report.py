from __future__ import annotations

import re
from html.parser import HTMLParser

import polars as pl
import pytest

from mtl_pipeline.evaluation.report import Facts, ReportContext, render_report
from mtl_pipeline.evaluation.scoring import Evaluation, evaluate
from mtl_pipeline.spec import Task

HOSTILE = "\"><script>alert('x')</script><img src=x onerror=alert(1)> & {{ 7 * 7 }}"


class Page(HTMLParser):
    """Elements and visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def html(evaluation: Evaluation, predictions: pl.DataFrame, training_log: list[dict[str, float]]) -> str:
    facts = Facts(
        created_at="2026-11-24 02:00 UTC",
        rows_by_split={"train": 430_102, "validation": 53_000, "test": 53_000},
        split_boundaries={"validation": "1998-03-09T00:00:00", "test": ["1998-03-30", "1998-04-22"]},
        label_rates={"train": {"watched": 0.2, "rating": 3.53}, "test": {"watched": 0.1998}},
        rejected_rows={},
        seconds={"model": 34.24},
        versions={"torch": "2.13.0"},
        fingerprints={"model": "ab31"},
    )
    context = ReportContext("movielens", predictions, training_log, 4.0, facts, "tasks:\n  - name: watched\n")
    return render_report(evaluation, context)


def test_the_verdict_stands_before_the_tables(html: str) -> None:
    text = Page(html).text
    verdict = text.index("On watched, multi_task shows no difference from single_task; it is better than")
    assert verdict < text.index("Models side by side")
    assert re.search(r"\+0\.\d+ \[\+0\.\d+, \+0\.\d+\] against linear : better", text)


def test_a_task_that_gains_nothing_is_said_to(predictions: pl.DataFrame, tasks: list[Task]) -> None:
    equal = predictions.with_columns(pl.col("prediction/multi_task/rating").alias("prediction/linear/rating"))
    evaluation = evaluate(equal, tasks[2:], bootstrap_samples=20)
    text = Page(render_report(evaluation, ReportContext("movielens", equal))).text
    assert "multi_task shows no difference from linear" in text
    assert "better than every baseline" not in text


def test_the_page_shows_data_run_and_configuration(html: str) -> None:
    text = Page(html).text
    for expected in (
        "2026-11-24 02:00 UTC",
        "430,102",
        "1998-03-09T00:00:00",
        "1998-03-30 to 1998-04-22",
        "No row was rejected.",
        "34.2",
        "2.13.0",
        "ab31",
        "- name: watched",
        "rating 3.530 –",
    ):
        assert expected in text


def test_the_page_needs_no_network_and_no_scripts(html: str) -> None:
    tags = Page(html).tags
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in tags}
    assert not re.search(r"url\((?!#)|@import", html)
    for _, attributes in tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in ("href", "xlink:href", "src") or (value or "").startswith("#")


def test_the_page_stays_small(html: str) -> None:
    assert len(html.encode()) < 2_000_000


def test_hostile_names_and_settings_stay_text(predictions: pl.DataFrame) -> None:
    task = Task.model_construct(name=HOSTILE, kind="regression", label=None, given=None, weight=1.0)
    hostile = predictions.select(
        "example_id",
        "user_id",
        "split",
        pl.col("label/rating").alias(f"label/{HOSTILE}"),
        pl.col("prediction/linear/rating").alias(f"prediction/{HOSTILE}/{HOSTILE}"),
        pl.col("prediction/multi_task/rating").alias(f"prediction/multi_task/{HOSTILE}"),
    )
    facts = Facts(created_at=HOSTILE, rejected_rows={HOSTILE: 3}, versions={HOSTILE: HOSTILE})
    log = [{"epoch": 1.0, f"validation_loss/{HOSTILE}": 0.5}]
    evaluation = evaluate(hostile, [task], bootstrap_samples=5)
    html = render_report(evaluation, ReportContext(HOSTILE, hostile, log, None, facts, HOSTILE))
    page = Page(html)
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.text.count("<script>alert('x')</script>") > 10
    assert "{{ 7 * 7 }}" in page.text


def test_facts_are_optional_and_undefined_metrics_give_their_reason(
    predictions: pl.DataFrame, tasks: list[Task]
) -> None:
    one_class = predictions.with_columns(pl.lit(1.0).alias("label/liked"))
    evaluation = evaluate(one_class, tasks[1:2], bootstrap_samples=5)
    text = Page(render_report(evaluation, ReportContext("movielens", one_class))).text
    assert "only one class: every observed label is 1" in text
    assert "On liked, multi_task cannot be compared with" in text
