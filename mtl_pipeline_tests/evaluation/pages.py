"""Pages as the tests read them, and frames that explain a model."""

from __future__ import annotations

from contextlib import nullcontext
from html.parser import HTMLParser

import polars as pl

from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.evaluation import evaluation_report
from mtl_pipeline.evaluation.report.html import to_html
from mtl_pipeline.evaluation.report.markdown import to_markdown
from mtl_pipeline.evaluation.studies.inside.largest_errors import largest_errors
from mtl_pipeline.evaluation.studies.scoring import Evaluation
from mtl_pipeline.spec import Task
from mtl_pipeline_tests.conftest import quick_evaluations

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


def html_of(evaluation: Evaluation, context: ReportContext, *, figures: bool = False) -> str:
    """To draw figures takes most of the time, so they are there only for tests that look at them."""
    with nullcontext() if figures else quick_evaluations():
        return to_html(evaluation_report(evaluation, context))


def page_of(evaluation: Evaluation, context: ReportContext) -> Page:
    return Page(html_of(evaluation, context))


def markdown_of(evaluation: Evaluation, context: ReportContext) -> str:
    with quick_evaluations():
        return to_markdown(evaluation_report(evaluation, context).sections)


LOG = [
    {"epoch": 0.5 * (place + 1), "gradient_cosine/watched~liked": cosine, "gradient_cosine/liked~rating": 0.8}
    for place, cosine in enumerate((0.3, -0.1, -0.2))
]


def explaining_frames(
    predictions: pl.DataFrame, tasks: list[Task], slices: pl.DataFrame
) -> dict[str, pl.DataFrame]:
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
                "share": [1.0] * 2 + [0.5] * 2 * (len(tasks) - 1),
                "expert": [1, 2] * len(tasks),
                "owner": pl.Series([None, tasks[0].name] * len(tasks), dtype=pl.String),
                "weight": [0.8, 0.2] * len(tasks),
                "standard_deviation": [0.1, 0.1] * len(tasks),
                "dead": [0.25, 0.97] + [0.03, 1.0] * (len(tasks) - 1),
                "rows": [9_000] * 2 * len(tasks),
            }
        ),
        "largest_errors": errors.with_columns(pl.lit(f"Tale {HOSTILE}").alias("item_text")),
    }
