from __future__ import annotations

import re

import polars as pl

from mtl_pipeline.evaluation.report.markdown import escape, to_markdown
from mtl_pipeline.evaluation.studies.scoring import Evaluation, evaluate
from mtl_pipeline.spec import Task


def test_the_verdict_comes_first_and_every_model_has_its_row(evaluation: Evaluation) -> None:
    markdown = to_markdown(evaluation)
    assert markdown.startswith("## Verdict")
    assert re.search(r"- \+0\.\d+ \[\+0\.\d+, \+0\.\d+\] against linear: \*\*better\*\*", markdown)
    for model in evaluation.models("watched"):
        assert f"| {model} |" in markdown


def test_every_table_row_has_as_many_cells_as_its_head(evaluation: Evaluation) -> None:
    for table in re.findall(r"(?:^\|.*\n)+", to_markdown(evaluation), flags=re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_the_best_value_is_bold_except_where_it_would_mislead(evaluation: Evaluation) -> None:
    constant = re.search(r"\| constant \| .*", to_markdown(evaluation))
    assert constant
    assert "| 1.000 |" in constant[0]  # recall of calling everything positive
    assert "**" not in constant[0]


def test_names_cannot_break_out_of_their_cell(predictions: pl.DataFrame) -> None:
    hostile = "a|b<script>*x*\n# heading"
    renamed = predictions.rename(lambda column: column.replace("/watched", f"/{hostile}"))
    task = Task.model_construct(name=hostile, kind="binary", label=None, given=None, weight=1.0)
    markdown = to_markdown(evaluate(renamed, [task], bootstrap_samples=5))
    assert "<script>" not in markdown
    assert "\n# heading" not in markdown
    assert escape("multi_task") == "multi_task"
    assert escape("a|b") == r"a\|b"


def test_the_ceiling_is_marked_and_what_was_resampled_is_said(
    evaluation: Evaluation, other_evaluation: Evaluation
) -> None:
    assert "| ceiling (best possible) |" in to_markdown(other_evaluation)
    assert "of the way from constant" in to_markdown(other_evaluation)
    assert "paired bootstrap over rows, 200 resamples" in to_markdown(other_evaluation)
    assert "paired bootstrap over users, 200 resamples" in to_markdown(evaluation)


def test_joint_training_and_whole_chains_have_their_tables(evaluation: Evaluation) -> None:
    markdown = to_markdown(evaluation)
    assert markdown.index("## Joint training") < markdown.index("## watched")
    chain = markdown[markdown.index("### Whole chain: watched → liked, 53,000 rows") :]
    assert "On the whole chain watched → liked, multi_task" in chain
    assert re.search(r"\| ROC-AUC ↑ \| linear \| \+0\.\d+ \| \[\+0\.\d+, \+0\.\d+\] \| better \|", chain)
