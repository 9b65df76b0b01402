"""Permutation importance where it is known which feature decides, for every kind of task."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from mtl_pipeline.evaluation.report.sections.inside.importance import (
    importance_figures,
    importance_sentences,
    importance_table,
)
from mtl_pipeline.evaluation.studies.inside.importance import measure_importance
from mtl_pipeline.spec import Task

ROWS, PERMUTATIONS = 4_000, 5
CLASSES = ["low", "middle", "high"]
TASKS = [
    Task(name="bought", kind="binary"),
    Task(name="stars", kind="regression"),
    Task(name="visits", kind="count"),
    Task(name="grade", kind="multiclass", classes=CLASSES),
]


def predicted(task: Task, signal: np.ndarray) -> pl.Series:
    """What a model that knows how the labels come about predicts from the signal."""
    name = f"prediction/{task.name}"
    match task.kind:
        case "binary":
            return pl.Series(name, 1 / (1 + np.exp(-3 * signal)))
        case "count":
            return pl.Series(name, np.exp(signal))
        case "multiclass":
            logits = np.exp(np.outer(signal, [-2, 0, 2]))
            return pl.Series(name, logits / logits.sum(1, keepdims=True), dtype=pl.Array(pl.Float64, 3))
        case _:
            return pl.Series(name, 3 + signal)


def labels(task: Task, signal: np.ndarray, rng: np.random.Generator) -> pl.Series:
    name = f"label/{task.name}"
    match task.kind:
        case "binary":
            return pl.Series(name, (rng.random(ROWS) < 1 / (1 + np.exp(-3 * signal))).astype(float))
        case "count":
            return pl.Series(name, rng.poisson(np.exp(signal)).astype(float))
        case "multiclass":
            return pl.Series(
                name, (np.outer(signal, [-2, 0, 2]) + rng.gumbel(size=(ROWS, 3))).argmax(1).astype(float)
            )
        case _:
            return pl.Series(name, 3 + signal + rng.normal(0, 0.5, ROWS))


def frames(tasks: list[Task]) -> Iterator[pl.DataFrame]:
    """The label comes from `planted` alone; the model also looks at `noise`, a millionth as much."""
    rng = np.random.default_rng(0)
    planted, noise = rng.normal(size=(2, ROWS))
    columns = [labels(task, planted, rng) for task in tasks]

    def frame(group: str | None, family: str | None, signal: np.ndarray) -> pl.DataFrame:
        return pl.DataFrame([*columns, *(predicted(task, signal) for task in tasks)]).with_columns(
            pl.lit(group, pl.String).alias("group"),
            pl.lit(family, pl.String).alias("family"),
            pl.lit(group == "all features").alias("is_family"),
        )

    yield frame(None, None, planted + 1e-6 * noise)
    for _ in range(PERMUTATIONS):
        order = rng.permutation(ROWS)
        yield frame("all features", "features", planted[order] + 1e-6 * noise[order])
        yield frame("planted", "features", planted[order] + 1e-6 * noise)
        yield frame("noise", "features", planted + 1e-6 * noise[order])


@pytest.fixture(scope="module")
def importance() -> pl.DataFrame:
    return measure_importance(frames(TASKS), TASKS)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_a_planted_feature_has_all_the_importance_and_noise_has_none(
    importance: pl.DataFrame, task: Task
) -> None:
    of_task = {row["group"]: row for row in importance.filter(task=task.name).iter_rows(named=True)}
    planted, noise = of_task["planted"], of_task["noise"]
    assert planted["importance"] > 0.3
    assert planted["importance"] > 20 * planted["spread"] > 0
    assert abs(noise["importance"]) < 1e-4
    assert of_task["all features"]["importance"] == pytest.approx(planted["importance"], abs=1e-3)
    assert (planted["rows"], planted["permutations"]) == (ROWS, PERMUTATIONS)


def test_without_the_planted_feature_the_model_only_guesses(importance: pl.DataFrame) -> None:
    row = importance.row(
        by_predicate=(pl.col("task") == "bought") & (pl.col("group") == "planted"), named=True
    )
    assert row["metric"] == "roc_auc"
    assert row["score"] - row["importance"] == pytest.approx(0.5, abs=0.02)


def test_tasks_may_come_in_frames_of_their_own() -> None:
    one_by_one = [frame for task in reversed(TASKS) for frame in frames([task])]
    found = measure_importance(one_by_one, TASKS)
    assert found["task"].unique(maintain_order=True).to_list() == [task.name for task in TASKS]
    assert found.height == len(TASKS) * 3


def test_what_cannot_be_measured_is_left_out_of_the_report() -> None:
    one_class = [frame.with_columns(pl.lit(1.0).alias("label/bought")) for frame in frames(TASKS[:2])]
    found = measure_importance(one_class, TASKS[:2])
    assert found.filter(task="bought")["importance"].is_nan().all()
    assert len(importance_figures(found, TASKS)) == 1
    assert [sentence.split(" ")[0] for sentence in importance_sentences(found, TASKS)] == ["stars"]
    assert "bought" not in " ".join(importance_table(found, TASKS).heads)
    no_rows = measure_importance([frame.clear() for frame in frames(TASKS)], TASKS)
    assert no_rows.is_empty()
    assert importance_figures(no_rows, TASKS) == []


def test_the_report_says_it_in_words_and_numbers(importance: pl.DataFrame) -> None:
    first = importance_sentences(importance, TASKS)[0]
    assert first.startswith("bought (ROC-AUC 0.9")
    assert "most is lost without all features (0.4" in first
    assert "noise" not in first
    table = importance_table(importance, TASKS)
    heads = ["shuffled", "bought: ROC-AUC lost", "stars: RMSE added", "visits: deviance added"]
    assert list(table.heads)[:4] == heads
    assert [row[0].text for row in table.cells] == ["all features", "planted", "noise"]
    figures = importance_figures(importance, TASKS)
    assert "ROC-AUC lost by shuffling" in figures[0].svg("one")
    assert "RMSE added by shuffling (label units)" in figures[1].svg("one")


def test_of_many_features_the_most_important_are_drawn(importance: pl.DataFrame) -> None:
    whole, noise = (importance.filter(task="bought", group=group) for group in ("all features", "noise"))
    many = [
        noise.with_columns(group=pl.lit(f"feature_{number:02}"), importance=pl.lit(0.01 * number))
        for number in range(40)
    ]
    wide = pl.concat([whole, *many])
    (figure,) = importance_figures(wide, TASKS)
    assert "feature_39" in figure.svg("one")
    assert "feature_27" not in figure.svg("one")
    assert "28 less important features are not drawn" in figure.caption
