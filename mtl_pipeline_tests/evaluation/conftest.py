"""Synthetic predictions with the shape and size of MovieLens 100K: 53,000 test rows of 166 users."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mtl_pipeline.evaluation.studies.inside.slice_scores import measure_slices
from mtl_pipeline.evaluation.studies.lists.ranked_lists import measure_ranking
from mtl_pipeline.evaluation.studies.scoring import Evaluation, evaluate
from mtl_pipeline.spec import Task

TEST_ROWS = 53_000
USERS = 166
NOISE = {"popularity": 1.0, "linear": 0.7, "single_task": 0.42, "multi_task": 0.4}
"""Noise that each model adds to what could be known; the smaller, the better the model."""


@pytest.fixture(scope="session")
def tasks() -> list[Task]:
    return [
        Task(name="watched", kind="binary"),
        Task(name="liked", kind="binary", given="watched"),
        Task(name="rating", kind="regression", given="watched"),
    ]


CLASSES = ["drama", "comedy", "thriller", "documentary"]


@pytest.fixture(scope="session")
def other_tasks() -> list[Task]:
    return [Task(name="visits", kind="count"), Task(name="genre", kind="multiclass", classes=CLASSES)]


@pytest.fixture(scope="session")
def other_predictions() -> pl.DataFrame:
    """A count and classes, of rows that have no users, with the true expectations as the ceiling."""
    rng = np.random.default_rng(1)
    rows = 8_000
    appeal = rng.normal(size=rows)
    rate = np.exp(0.3 + 0.7 * appeal)
    logits = np.outer(appeal, [1.5, -1.0, 0.4, 0.0]) + np.array([0.5, 0.2, 0.0, -1.5])
    genre = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    frame = pl.DataFrame(
        {
            "example_id": np.arange(rows),
            "split": np.repeat(["validation", "test"], rows // 2),
            "label/visits": rng.poisson(rate).astype(float),
            "label/genre": genre.astype(float),
            "prediction/constant/visits": np.full(rows, 1.7),
        }
    )
    skills = {"boosted_trees": 0.8, "single_task": 0.5, "multi_task": 0.3, "ceiling": 0.0}
    for model, noise in skills.items():
        believed = appeal + noise * rng.normal(size=rows)
        frame = frame.with_columns(
            pl.Series(f"prediction/{model}/visits", np.exp(0.3 + 0.7 * believed)),
            class_column(f"prediction/{model}/genre", logits + noise * rng.normal(size=logits.shape)),
        )
    shares = np.tile(np.log(np.bincount(genre)), (rows, 1))
    return frame.with_columns(class_column("prediction/constant/genre", shares))


@pytest.fixture(scope="session")
def other_evaluation(other_predictions: pl.DataFrame, other_tasks: list[Task]) -> Evaluation:
    return evaluate(other_predictions, other_tasks, bootstrap_samples=200)


def class_column(name: str, logits: np.ndarray) -> pl.Series:
    """(rows, classes) logits as an array of float32 probabilities."""
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return pl.Series(name, shares.astype(np.float32), dtype=pl.Array(pl.Float32, logits.shape[1]))


@pytest.fixture(scope="session")
def predictions() -> pl.DataFrame:
    """`liked` and `rating` are observed on the watched fifth of the rows."""
    rng = np.random.default_rng(0)
    rows = 2 * TEST_ROWS
    user = rng.integers(USERS, size=rows)
    appeal = rng.normal(size=rows) + rng.normal(0, 0.5, size=USERS)[user]
    quality = rng.normal(size=rows)
    watched = rng.random(rows) < probability(-1.9 + 1.5 * appeal)
    rating = np.clip(np.round(3.5 + 0.6 * quality + 0.9 * rng.normal(size=rows)), 1, 5)
    columns = {
        "example_id": np.arange(rows),
        "user_id": user,
        "item_id": rng.integers(1600, size=rows),
        "split": np.repeat(["validation", "test"], TEST_ROWS),
        "label/watched": watched.astype(float),
        "label/liked": np.where(watched, rating >= 4, np.nan),
        "label/rating": np.where(watched, rating, np.nan),
        "prediction/constant/watched": np.full(rows, 0.2),
        "prediction/constant/liked": np.full(rows, 0.55),
        "prediction/constant/rating": np.full(rows, 3.5),
    }
    for model, noise in NOISE.items():
        columns[f"prediction/{model}/watched"] = probability(
            -1.9 + 1.2 * (appeal + noise * rng.normal(size=rows))
        )
        believed = 0.6 * (quality + noise * rng.normal(size=rows))
        columns[f"prediction/{model}/liked"] = probability(believed)
        columns[f"prediction/{model}/rating"] = 3.5 + believed
    frame = pl.DataFrame(columns).with_columns(pl.col("^label/.*$").fill_nan(None))
    return frame.with_columns(pl.col("^prediction/.*$").cast(pl.Float32))


@pytest.fixture(scope="session")
def evaluation(predictions: pl.DataFrame, tasks: list[Task]) -> Evaluation:
    return evaluate(predictions, tasks, bootstrap_samples=200)


@pytest.fixture(scope="session")
def training_log(tasks: list[Task]) -> list[dict[str, float]]:
    return [
        {"epoch": float(epoch)}
        | {f"train_loss/{task.name}": 0.6 - 0.02 * epoch for task in tasks}
        | {f"validation_loss/{task.name}": 0.6 - 0.02 * epoch + 0.002 * epoch**2 for task in tasks}
        for epoch in range(1, 10)
    ]


COLOURS = ["red", "green", "blue"]


@pytest.fixture(scope="session")
def slices(predictions: pl.DataFrame) -> pl.DataFrame:
    """Every test row red, green or blue, by chance; one user in five is new; some rows have two letters."""
    test = predictions.filter(pl.col("split") == "test")
    rng = np.random.default_rng(9)
    colour = pl.Series(COLOURS, dtype=pl.Enum(COLOURS)).gather(
        rng.choice(3, p=[0.5, 0.499, 0.001], size=test.height)
    )
    letters = pl.Series([[], ["a"], ["b"], ["a", "b"]], dtype=pl.List(pl.Enum(["a", "b"])))
    known = pl.when(pl.col("user_id") % 5 == 0).then(pl.lit("new")).otherwise(pl.lit("known"))
    return test.select(
        "example_id",
        known.cast(pl.Enum(["known", "new"])).alias("User"),
        colour.alias("colour"),
        letters.gather(rng.integers(4, size=test.height)).alias("letters"),
    )


@pytest.fixture(scope="session")
def measured(predictions: pl.DataFrame, slices: pl.DataFrame, evaluation: Evaluation) -> pl.DataFrame:
    return measure_slices(predictions, slices, evaluation)


@pytest.fixture(scope="session")
def ranking(predictions: pl.DataFrame, tasks: list[Task]) -> pl.DataFrame:
    return measure_ranking(predictions, tasks, candidate="multi_task", bootstrap_samples=100)


def probability(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))
