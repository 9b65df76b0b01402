from __future__ import annotations

import re

import polars as pl
import pytest

from mtl_pipeline.escaping import markdown_text as escape
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.studies.scoring import Evaluation, evaluate
from mtl_pipeline.spec import Task
from mtl_pipeline_tests.evaluation.pages import markdown_of


@pytest.fixture(scope="module")
def markdown(evaluation: Evaluation, predictions: pl.DataFrame) -> str:
    return markdown_of(evaluation, ReportContext("movielens", predictions))


def test_the_verdict_comes_first_and_every_model_has_its_row(evaluation: Evaluation, markdown: str) -> None:
    assert markdown.startswith("## Verdict")
    assert re.search(r"\| watched \| ROC-AUC ↑ \| \+0\.\d+ \[\+0\.\d+, \+0\.\d+\] ✓ \|", markdown)
    for model in evaluation.models("watched"):
        assert f"| {model} |" in markdown


def test_every_table_row_has_as_many_cells_as_its_head(evaluation: Evaluation, markdown: str) -> None:
    for table in re.findall(r"(?:^\|.*\n)+", markdown, flags=re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_the_best_value_is_bold_except_where_it_would_mislead(evaluation: Evaluation, markdown: str) -> None:
    constant = re.search(r"\| constant \| .*", markdown)
    assert constant
    assert "| 1.000 |" in constant[0]  # recall of calling everything positive
    assert "**" not in constant[0]


def test_names_cannot_break_out_of_their_cell(predictions: pl.DataFrame) -> None:
    hostile = "a|b<script>*x*\n# heading"
    renamed = predictions.rename(lambda column: column.replace("/watched", f"/{hostile}"))
    task = Task.model_construct(name=hostile, kind="binary", label=None, given=None, weight=1.0)
    markdown = markdown_of(
        evaluate(renamed, [task], bootstrap_samples=5), ReportContext("movielens", renamed)
    )
    assert "<script>" not in markdown
    assert "\n# heading" not in markdown
    assert escape("multi_task") == "multi_task"
    assert escape("a|b") == r"a\|b"


def test_the_ceiling_is_marked_and_what_was_resampled_is_said(
    markdown: str, other_evaluation: Evaluation, other_predictions: pl.DataFrame
) -> None:
    other = markdown_of(other_evaluation, ReportContext("other", other_predictions))
    assert "| ceiling (best possible) |" in other
    assert "of the way from constant" in other
    assert "paired bootstrap over rows (there are no users), 200 resamples" in other
    assert "paired bootstrap over users, 200 resamples" in markdown


def test_joint_training_comes_first_and_whole_chains_have_their_table(markdown: str) -> None:
    assert markdown.index("## Joint training") < markdown.index("## watched")
    assert "On the whole chain watched → liked, multi_task" in markdown
    chain = markdown[markdown.index("## Whole chain: watched → liked") :]
    assert re.search(r"\| linear \| 0\.\d+ \| 0\.\d+ \| 0\.\d+ \|", chain)
