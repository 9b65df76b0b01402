from __future__ import annotations

import re
from dataclasses import replace

import polars as pl
import pytest

from mtl_pipeline.evaluation.facts import Facts
from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.sections.joint_training import joint_sentence
from mtl_pipeline.evaluation.studies.scoring import Evaluation, evaluate
from mtl_pipeline.spec import Task
from mtl_pipeline_tests.evaluation.pages import HOSTILE, Page, html_of, page_of


@pytest.fixture(scope="module")
def html(evaluation: Evaluation, predictions: pl.DataFrame, training_log: list[dict[str, float]]) -> str:
    facts = Facts(
        created_at="2026-11-24 02:00 UTC",
        rows_by_split={"train": 430_102, "validation": 53_000, "test": 53_000},
        split_boundaries={"validation": "1998-03-09T00:00:00", "test": ["1998-03-30", "1998-04-22"]},
        label_rates={"train": {"watched": 0.2, "rating": 3.53}, "test": {"watched": 0.1998}},
        late_labels={"train: liked": "12 not yet known, 3 changed later"},
        rejected_rows={},
        versions={"torch": "2.13.0"},
        fingerprints={"model": "ab31"},
    )
    context = ReportContext("movielens", predictions, training_log, facts, "tasks:\n  - name: watched\n")
    return html_of(evaluation, context, figures=True)


def test_the_verdict_stands_before_the_tables(html: str) -> None:
    text = Page(html).text
    verdict = text.index("On watched, multi_task shows no difference from single_task; it is better than")
    assert verdict < text.index("minus linear") < text.index("GAUC")
    assert re.search(r"watched ROC-AUC ↑ \+0\.\d+ \[\+0\.\d+, \+0\.\d+\] ✓", text)


def test_a_task_that_gains_nothing_is_said_to(predictions: pl.DataFrame, tasks: list[Task]) -> None:
    equal = predictions.with_columns(pl.col("prediction/multi_task/rating").alias("prediction/linear/rating"))
    evaluation = evaluate(equal, tasks[2:], bootstrap_samples=20)
    text = page_of(evaluation, ReportContext("movielens", equal)).text
    assert "multi_task shows no difference from linear" in text
    assert "better than every baseline" not in text


def test_the_page_shows_data_run_and_configuration(html: str) -> None:
    text = Page(html).text
    for expected in (
        "2026-11-24 02:00 UTC",
        "430,102",
        "1998-03-09T00:00:00",
        "1998-03-30 to 1998-04-22",
        "Labels later than their split",
        "12 not yet known, 3 changed later",
        "No row was rejected.",
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
    html = html_of(evaluation, ReportContext(HOSTILE, hostile, log, facts, HOSTILE), figures=True)
    page = Page(html)
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.text.count("<script>alert('x')</script>") > 8
    assert "{{ 7 * 7 }}" in page.text
    assert "Ranked lists" not in page.text
    assert "Slices" not in page.text


def test_facts_are_optional_and_undefined_metrics_give_their_reason(
    predictions: pl.DataFrame, tasks: list[Task]
) -> None:
    one_class = predictions.with_columns(pl.lit(1.0).alias("label/liked"))
    evaluation = evaluate(one_class, tasks[1:2], bootstrap_samples=5)
    text = page_of(evaluation, ReportContext("movielens", one_class)).text
    assert "only one class: every observed label is 1" in text
    assert "On liked, multi_task cannot be compared with" in text


@pytest.fixture(scope="module")
def other_text(other_evaluation: Evaluation, other_predictions: pl.DataFrame) -> str:
    return page_of(other_evaluation, ReportContext("counts and classes", other_predictions)).text


def test_what_joint_training_does_to_each_task_is_said(html: str, evaluation: Evaluation) -> None:
    text = Page(html).text
    assert re.search(r"watched: joint training (helps in|makes no difference that is shown in) ROC-AUC", text)
    worse = evaluation.comparisons.with_columns(
        pl.lit("worse").alias("verdict"), pl.lit(-0.02).alias("low"), pl.lit(-0.01).alias("high")
    )
    assert joint_sentence(replace(evaluation, comparisons=worse), evaluation.tasks[0]) == (
        "watched: joint training hurts in ROC-AUC and log-loss."
    )


def test_without_a_single_task_model_nothing_is_said(predictions: pl.DataFrame, tasks: list[Task]) -> None:
    alone = predictions.drop("^prediction/single_task/.*$")
    evaluation = evaluate(alone, tasks, bootstrap_samples=5)
    assert "joint training" not in page_of(evaluation, ReportContext("movielens", alone)).text.lower()


def test_the_whole_chain_has_its_own_table(html: str) -> None:
    text = Page(html).text
    assert "Whole chain: watched → liked" in text
    assert "over the 53,000 test rows where the first label was observed" in text
    assert re.search(r"On the whole chain watched → liked, multi_task .*is better than", text)
    assert re.search(r"watched → liked ROC-AUC ↑ \+0\.\d+ \[\+0\.\d+, \+0\.\d+\] ✓", text)


def test_the_page_says_what_was_resampled(html: str, other_text: str) -> None:
    assert "paired bootstrap over users, 200 resamples" in Page(html).text
    assert "test rows of 166 users, where" in Page(html).text
    assert "paired bootstrap over rows (there are no users), 200 resamples" in other_text
    assert "4,000 test rows, where this label was observed" in other_text
    assert "in which every row counts" in other_text


def test_the_ceiling_is_marked_and_the_way_to_it_is_said(other_text: str) -> None:
    assert re.search(r"ceiling \(best possible\)", other_text)
    assert re.search(
        r"In deviance on visits, multi_task has gone \d\d\.\d.% of the way from constant to the ceiling \(boosted",
        other_text,
    )
    assert "the true probabilities or expectations of the simulator" in other_text
    assert "better than every baseline" in other_text  # the ceiling is none


def test_a_ceiling_no_better_than_constant_is_not_divided_by(other_predictions: pl.DataFrame) -> None:
    useless = other_predictions.with_columns(
        pl.col("prediction/constant/visits").alias("prediction/ceiling/visits")
    )
    evaluation = evaluate(useless, [Task(name="visits", kind="count")], bootstrap_samples=5)
    text = page_of(evaluation, ReportContext("visits", useless)).text
    assert "cannot be said: on these rows the ceiling is not better than the constant answer" in text


def test_slices_and_ranked_lists_have_sections_of_their_own(
    evaluation: Evaluation, predictions: pl.DataFrame, measured: pl.DataFrame, ranking: pl.DataFrame
) -> None:
    context = ReportContext("movielens", predictions, parts={"slices": measured, "ranking": ranking})
    text = page_of(evaluation, context).text
    assert text.index("Ranked lists") < text.index("Slices") < text.index("Terms")
    assert "not the whole catalogue: compare models within this report" in text
    assert re.search(r"watched → liked: lists of \d+ users with a hit", text)
    assert "multi_task minus it, NDCG@10" in text
    assert re.search(r"new watched [\d,]+ 34 [\d,]+ \(\d\d\.\d.%\) ROC-AUC ↑ 0\.\d+ [+−]0\.\d+ \[", text)
    assert "counted only: fewer than 100 rows" in text
    assert "MRR ↑ mean reciprocal rank" in text


def test_names_of_slices_stay_text(
    evaluation: Evaluation, predictions: pl.DataFrame, measured: pl.DataFrame
) -> None:
    hostile = measured.with_columns(
        (pl.lit(HOSTILE) + pl.col("kind")).alias("kind"), (pl.lit(HOSTILE) + pl.col("slice")).alias("slice")
    )
    page = page_of(evaluation, ReportContext("movielens", predictions, parts={"slices": hostile}))
    assert not {"script", "img"} & {tag for tag, _ in page.tags}


def test_hostile_class_names_stay_text(other_predictions: pl.DataFrame) -> None:
    task = Task(name="genre", kind="multiclass", classes=["<img src=x>", "$x$", '"><b>', HOSTILE])
    evaluation = evaluate(other_predictions, [task], bootstrap_samples=5)
    page = Page(html_of(evaluation, ReportContext("genre", other_predictions), figures=True))
    assert not {"script", "img", "b"} & {tag for tag, _ in page.tags}
    assert "<img src=x>" in page.text
