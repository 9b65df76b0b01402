"""With text against without: what is planted for cold items is found there, and nowhere else."""

from __future__ import annotations

import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.sections.inside.text_effect import text_sentences, text_table
from mtl_pipeline.evaluation.studies.inside.text_effect import measure_text
from mtl_pipeline.evaluation.studies.runs.seeds import SeedRuns, compare_over_seeds, measure_seeds
from mtl_pipeline.evaluation.studies.scoring import Evaluation, evaluate
from mtl_pipeline.spec import Task
from mtl_pipeline_tests.evaluation.pages import HOSTILE, Page, html_of, page_of
from mtl_pipeline_tests.evaluation.seeded import one, seeded_predictions

TASKS = [Task(name="watched", kind="binary"), Task(name="rating", kind="regression")]
MODELS = {"multi_task": 1.0, "single_task": 1.0, "without_text": 1.0}


@pytest.fixture(scope="module")
def seeded() -> tuple[pl.DataFrame, SeedRuns]:
    """Text halves the noise on cold items, those from 50 on, and does nothing for the others."""
    return seeded_predictions(
        MODELS, seeds=3, seed_effect=0.03, new_item_models=MODELS | {"without_text": 2.0}
    )


@pytest.fixture(scope="module")
def evaluation(seeded: tuple[pl.DataFrame, SeedRuns]) -> Evaluation:
    return compare_over_seeds(evaluate(seeded[0], TASKS, bootstrap_samples=200), seeded[1])


def cold_items(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(split="test").select("example_id", cold=pl.col("item_id") >= 50)


@pytest.fixture(scope="module")
def text(seeded: tuple[pl.DataFrame, SeedRuns], evaluation: Evaluation) -> pl.DataFrame:
    return measure_text(evaluation, seeded[1], cold_items(seeded[0]))


def test_text_helps_where_it_was_planted_to(text: pl.DataFrame) -> None:
    verdicts = {
        (row["task"], row["part"]): row["verdict"]
        for row in text.filter(pl.col("metric").is_in(["roc_auc", "rmse"])).iter_rows(named=True)
    }
    for task in ("watched", "rating"):
        assert verdicts[task, "cold items"] == "better"
        assert verdicts[task, "all test rows"] == "better"
        assert verdicts[task, "other items"] == "no difference shown"


def test_values_are_means_over_the_seeds_and_rows_are_counted(
    text: pl.DataFrame, seeded: tuple[pl.DataFrame, SeedRuns]
) -> None:
    new = seeded[1].predictions.filter(pl.col("split") == "test", pl.col("item_id") >= 50)
    found = one(text, task="watched", part="cold items", metric="roc_auc")
    assert (found["rows"], found["items"]) == (new.height, new["item_id"].n_unique())
    assert found["users"] == new["user_id"].n_unique()
    assert found["positives"] == new["label/watched"].sum()
    for name, model in (("with_text", "multi_task"), ("without_text", "without_text")):
        scores = [
            roc_auc_score(new["label/watched"], new[f"prediction/{model}@{seed}/watched"])
            for seed in range(3)
        ]
        assert found[name] == pytest.approx(sum(scores) / 3)
    assert found["difference"] == pytest.approx(found["with_text"] - found["without_text"])
    assert found["low"] < found["difference"] < found["high"]
    parts = text.filter(task="watched", metric="roc_auc")
    assert parts["rows"][0] == parts["rows"][1:].sum() == seeded[0].filter(split="test").height


def with_blind_network(seed_runs: SeedRuns, source: str, error: float = 0.0) -> SeedRuns:
    """Seed by seed the network without text predicts as `source` does, but for `error` on the scale of ratings."""
    columns = [
        (pl.col(f"prediction/{source}@{seed}/{task}") + scale * error).alias(
            f"prediction/without_text@{seed}/{task}"
        )
        for seed in seed_runs.seeds
        for task, scale in (("watched", 0.0), ("rating", 1.0))
    ]
    return SeedRuns(
        seed_runs.seeds,
        (*seed_runs.models, "without_text"),
        seed_runs.predictions.with_columns(columns),
    )


def interval_width(found: dict) -> float:
    return found["high"] - found["low"]


def rating_without_text(frame: pl.DataFrame, seed_runs: SeedRuns, samples: int = 400) -> dict:
    evaluation = evaluate(frame, TASKS, bootstrap_samples=samples)
    text = measure_text(evaluation, seed_runs, cold_items(frame))
    return one(text, task="rating", part="all test rows", metric="rmse")


def test_each_seed_is_held_against_itself() -> None:
    """Seeds differ much, the two networks of a seed hardly do: what is left when the pairs are right is little."""
    frame, seed_runs = seeded_predictions({"multi_task": 1.0}, seeds=3, seed_effect=0.4, rows=2_000)
    apart = [
        seed_runs.predictions.select(
            ((pl.col(f"prediction/multi_task@{seed}/rating") - pl.col("label/rating")) ** 2).mean().sqrt()
        ).item()
        for seed in (0, 2)
    ]
    found = rating_without_text(frame, with_blind_network(seed_runs, "multi_task", error=0.1))
    assert abs(apart[0] - apart[1]) > 0.1
    assert interval_width(found) < 0.05


def test_seeds_that_differ_widen_the_interval() -> None:
    calm, wild = (
        rating_without_text(*seeded_predictions(MODELS, seeds=3, seed_effect=effect, rows=2_000))
        for effect in (0.0, 0.2)
    )
    assert interval_width(wild) > 2 * interval_width(calm)


def test_few_users_widen_the_interval_once() -> None:
    """As they do where the same two models are compared as candidate and baseline."""
    frame, seed_runs = seeded_predictions(
        {"multi_task": 1.0, "single_task": 1.05}, seeds=3, seed_effect=0.05, users=12, rows=1_600
    )
    evaluation = evaluate(frame, TASKS, bootstrap_samples=1000)
    compared = one(
        compare_over_seeds(evaluation, seed_runs).comparisons,
        task="rating",
        metric="rmse",
        baseline="single_task",
    )
    found = rating_without_text(frame, with_blind_network(seed_runs, "single_task"), samples=1000)
    assert found["difference"] == pytest.approx(compared["difference"])
    assert interval_width(found) < 1.05 * interval_width(compared)


def test_sentences_say_no_more_than_the_intervals(text: pl.DataFrame) -> None:
    assert text_sentences(text, TASKS, "multi_task")[0] == (
        "On watched, no difference is shown on other items; multi_task is better with text on all test rows and cold "
        "items."
    )
    worse = text.with_columns(verdict=pl.lit("worse"))
    assert text_sentences(worse, TASKS[:1], "multi_task") == [
        "On watched, multi_task is worse with text on all test rows, cold items and other items."
    ]
    assert ["watched", "cold items"] in [list(row[:2]) for row in text_table(text, TASKS).rows]


def test_a_part_too_small_is_counted_not_judged(
    seeded: tuple[pl.DataFrame, SeedRuns], evaluation: Evaluation
) -> None:
    few = cold_items(seeded[0]).with_columns(cold=pl.int_range(pl.len()) < 20)
    text = measure_text(evaluation, seeded[1], few)
    found = one(text, task="rating", part="cold items", metric="rmse")
    assert (found["rows"], found["difference"]) == (20, None)
    assert found["note"] == "counted only: fewer than 100 rows"
    assert text_sentences(text, TASKS, "multi_task")[1].endswith("; nothing can be said on cold items.")


def test_without_items_all_rows_are_one_part(
    seeded: tuple[pl.DataFrame, SeedRuns], evaluation: Evaluation
) -> None:
    text = measure_text(evaluation, seeded[1], cold_items(seeded[0]).select("example_id"))
    assert text["part"].unique().to_list() == ["all test rows"]


def test_where_nothing_was_trained_without_text_there_is_nothing(
    seeded: tuple[pl.DataFrame, SeedRuns], evaluation: Evaluation
) -> None:
    _, others = seeded_predictions({"multi_task": 1.0, "single_task": 1.0}, seeds=2, rows=200)
    assert measure_text(evaluation, others, cold_items(seeded[0])).is_empty()


def test_the_page_shows_text_seeds_and_caveats(
    seeded: tuple[pl.DataFrame, SeedRuns], evaluation: Evaluation, text: pl.DataFrame
) -> None:
    parts = {"text": text, "seeds": measure_seeds(evaluation, seeded[1])}
    context = ReportContext("movies", seeded[0], parts=parts, caveats=[HOSTILE])
    html = html_of(evaluation, context)
    page = Page(html)
    shown = page.text
    order = [
        "multi_task learns all tasks",
        "On watched, no difference",
        "The same networks",
        "higher is better",
    ]
    assert sorted(order, key=shown.index) == order
    assert "each difference is the mean over 3 seeds" in shown
    assert "So few seeds make rough intervals." in shown
    assert "paired bootstrap over users and 3 seeds" in shown
    assert HOSTILE in shown
    assert not {"script", "img"} & {tag for tag, _ in page.tags}


def test_with_one_seed_the_page_says_nothing_of_seeds(seeded: tuple[pl.DataFrame, SeedRuns]) -> None:
    alone = evaluate(seeded[0], TASKS, bootstrap_samples=5)
    shown = page_of(alone, ReportContext("movies", seeded[0])).text
    assert "seeds" not in shown
    assert "text vectors" not in shown
