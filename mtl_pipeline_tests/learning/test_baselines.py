"""Baselines predict the same rows as the model, from the training split alone."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mtl_pipeline.learning.baselines.boosted_trees import boosted_answers
from mtl_pipeline.learning.baselines.design import text_components
from mtl_pipeline.learning.baselines.predict import predict_baselines
from mtl_pipeline.learning.baselines.simple import linear_answers, popularity_answers
from mtl_pipeline.learning.calibration.fitting import fit_calibrator
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.data.samples import drawn_rows
from mtl_pipeline.learning.ranker.ranker import predict_examples
from mtl_pipeline.learning.training.train import train_ranker
from mtl_pipeline.spec import Baselines, Task, Training
from mtl_pipeline_tests.conftest import TinyPipeline


def test_every_baseline_predicts_every_held_out_row(prepared: TinyPipeline) -> None:
    paths, spec = prepared.paths, prepared.spec
    summary = predict_baselines(paths, spec, target=paths.baselines, log=lambda line: None)
    examples = pl.read_parquet(paths.examples / "examples.parquet")
    predictions = pl.read_parquet(paths.baselines / "predictions.parquet")
    held_out = examples.filter(pl.col("split") != "train")
    assert predictions["example_id"].equals(held_out["example_id"])
    assert summary.rows == len(held_out)
    models = ("constant", "popularity", "linear", "boosted_trees", "single_task")
    expected = {f"prediction/{model}/{task.name}" for model in models for task in spec.tasks}
    assert set(predictions.select("^prediction/.*$").columns) == expected


def predicted(pipeline: TinyPipeline, calibration: str) -> pl.DataFrame:
    """Examples with the baselines' predictions for them."""
    paths, spec = pipeline.paths, pipeline.spec
    training = spec.training.model_copy(update={"calibration": calibration, "epochs": 1})
    spec = spec.model_copy(update={"training": training})
    predict_baselines(paths, spec, target=paths.baselines, log=lambda line: None)
    examples = pl.read_parquet(paths.examples / "examples.parquet")
    return examples.join(pl.read_parquet(paths.baselines / "predictions.parquet"), on="example_id")


def test_baselines_are_calibrated_on_the_validation_rows_as_the_model_is(prepared: TinyPipeline) -> None:
    rows = predicted(prepared, "auto")
    validation = rows.filter(pl.col("split") == "validation")
    changed = [column.split("/")[1:] for column in rows.columns if column.startswith("uncalibrated/")]
    assert changed
    for model, task in changed:
        before = f"uncalibrated/{model}/{task}"
        labels = validation[task].cast(pl.Float32).fill_null(np.nan).to_numpy()
        calibrator = fit_calibrator(prepared.spec.task(task), labels, validation[before].to_numpy())
        after = rows[f"prediction/{model}/{task}"].to_numpy()
        assert after == pytest.approx(calibrator.apply(rows[before].to_numpy()))


def test_without_calibration_the_constant_is_the_training_mean(prepared: TinyPipeline) -> None:
    rows = predicted(prepared, "none")
    assert rows.select("^uncalibrated/.*$").columns == []
    train = pl.read_parquet(prepared.paths.examples / "examples.parquet").filter(pl.col("split") == "train")
    for task in prepared.spec.tasks:
        constant = rows[f"prediction/constant/{task.name}"].unique().to_list()
        assert constant == pytest.approx([train[task.name].mean()])


BINARY = Task(name="click", kind="binary")
REGRESSION = Task(name="rating", kind="regression")
COUNT = Task(name="plays", kind="count")
CLASSES = Task(name="mood", kind="multiclass", classes=["calm", "gay", "sad"])
RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(4_000, 3))
TRUTH = INPUTS @ [1.0, -2.0, 0.5]


def test_linear_models_find_a_linear_truth() -> None:
    assert np.abs(linear_answers(REGRESSION, INPUTS, TRUTH, INPUTS) - TRUTH).max() < 0.01

    clicked = (RNG.random(4_000) < 1 / (1 + np.exp(-TRUTH))).astype(float)
    click = linear_answers(BINARY, INPUTS, clicked, INPUTS)
    assert np.corrcoef(np.log(click / (1 - click)), TRUTH)[0, 1] > 0.99

    plays = linear_answers(COUNT, INPUTS, RNG.poisson(np.exp(TRUTH / 2)), INPUTS)
    assert np.corrcoef(np.log(plays), TRUTH)[0, 1] > 0.99

    mood = linear_answers(CLASSES, INPUTS, np.digitize(TRUTH, [-1, 1]), INPUTS)
    assert mood.shape == (4_000, 3)
    assert np.allclose(mood.sum(1), 1)
    assert (mood.argmax(1) == np.digitize(TRUTH, [-1, 1])).mean() > 0.95


def test_boosted_trees_find_what_no_linear_model_can() -> None:
    product = INPUTS[:, 0] * INPUTS[:, 1]
    linear = linear_answers(REGRESSION, INPUTS, product, INPUTS)
    trees = boosted_answers(REGRESSION, INPUTS, product, (INPUTS[:500], product[:500]), INPUTS)
    assert np.corrcoef(linear, product)[0, 1] < 0.2
    assert np.corrcoef(trees, product)[0, 1] > 0.9


def test_popularity_is_the_mean_of_the_item_drawn_towards_that_of_all() -> None:
    """Item 1 was clicked three times of three, item 2 never in one; nobody met item 3."""
    items, clicked = np.array([1, 1, 1, 2]), np.array([1.0, 1.0, 1.0, 0.0])
    found = popularity_answers(BINARY, items, clicked, np.array([1, 2, 3]))
    assert found.tolist() == pytest.approx([(3 + 3 * 0.75) / 6, 3 * 0.75 / 4, 0.75])
    moods = popularity_answers(CLASSES, items, np.array([0, 0, 2, 1]), np.array([1, 3]))
    assert moods[1].tolist() == [0.5, 0.25, 0.25]
    assert np.allclose(moods.sum(1), 1)


def test_without_history_there_is_a_popularity_all_the_same(prepared: TinyPipeline) -> None:
    features = prepared.spec.features.model_copy(update={"history": []})
    spec = prepared.spec.model_copy(update={"features": features})
    predict_baselines(prepared.paths, spec, target=prepared.paths.baselines, log=lambda line: None)
    columns = pl.read_parquet_schema(prepared.paths.baselines / "predictions.parquet")
    assert {f"prediction/popularity/{task.name}" for task in spec.tasks} <= set(columns)


def test_a_class_that_training_lacks_has_probability_0() -> None:
    labels = np.tile([0, 2], 2_000)
    answers = linear_answers(CLASSES, INPUTS, labels, INPUTS)
    assert (answers[:, 1] == 0).all()
    assert np.allclose(answers.sum(1), 1)


def test_one_label_only_gives_a_constant() -> None:
    assert linear_answers(BINARY, INPUTS, np.ones(4_000), INPUTS[:5]).tolist() == [1.0] * 5


def test_few_rows_are_drawn_from_among_more_of_the_same_seed() -> None:
    rows = np.arange(0, 1_000, 3)
    few, more = (drawn_rows(rows, most, seed=0) for most in (10, 100))
    assert len(few) == 10
    assert few.tolist() == sorted(few)
    assert set(few) < set(more) < set(rows)
    assert set(few) != set(drawn_rows(rows, 10, seed=1))
    assert drawn_rows(rows, len(rows), seed=0) is rows


def test_fewer_baselines_from_fewer_rows(prepared: TinyPipeline) -> None:
    """The networks for single tasks, which are trained beside the model, learn from the rows that the others have."""
    paths, spec = prepared.paths, prepared.spec
    fewer = Baselines(models=["linear", "single_task"], rows=50)
    spec = spec.model_copy(update={"baselines": fewer})
    own = pl.DataFrame({"task": [task.name for task in spec.tasks], "predicted_by": "own"})
    train_ranker(paths, spec, target=paths.model, judge=lambda rows: own, log=lambda line: None)
    said: list[str] = []
    predict_baselines(paths, spec, target=paths.baselines, log=said.append)
    assert not [line for line in said if "alone, epoch" in line]
    predictions = pl.read_parquet(paths.baselines / "predictions.parquet")
    made = {column.split("/")[1] for column in predictions.columns if column.startswith("prediction/")}
    assert made == {"constant", "linear", "single_task"}
    of_model = predict_examples(paths, spec, paths.model)
    for task in spec.tasks:  # a number is not standardised by other rows than in the network beside it
        found, alone = (
            of_model[f"prediction/multi_task/{task.name}"],
            predictions[f"prediction/single_task/{task.name}"],
        )
        assert np.array_equal(found.to_numpy(), alone.to_numpy()), task.name
    dataset = Dataset(paths, spec)
    for task in spec.tasks:
        assert len(dataset.drawn_for(task.name, spec).train) == 50


def test_without_networks_for_single_tasks_there_is_no_guard(prepared: TinyPipeline) -> None:
    assert prepared.spec.model_copy(update={"training": Training(guard=True)}).guards
    assert not prepared.spec.model_copy(update={"baselines": Baselines(models=["linear"])}).guards


def test_text_components_ignore_vectors_that_training_never_saw() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(20, 6)).astype(np.float32)
    known = np.arange(10)
    changed = vectors.copy()
    changed[10:] *= 100
    assert np.allclose(text_components(vectors, known)[:10], text_components(changed, known)[:10], atol=1e-5)


def test_trees_cope_with_a_class_of_one_row_and_with_no_inputs() -> None:
    labels = np.append(np.zeros(3_999), 1.0)
    assert len(boosted_answers(BINARY, INPUTS, labels, (INPUTS[:9], labels[:9]), INPUTS[:5])) == 5
    nothing = np.empty((4, 0))
    few = np.array([0.0, 1, 1, 1])
    assert linear_answers(BINARY, nothing, few, nothing).tolist() == [0.75] * 4
    assert boosted_answers(BINARY, nothing, few, (nothing, few), nothing).tolist() == [0.75] * 4


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        (BINARY, (TRUTH > 0).astype(float)),
        (REGRESSION, TRUTH),
        (COUNT, np.exp(TRUTH / 2).round()),
        (CLASSES, np.digitize(TRUTH, [-1, 1]).astype(float)),
        (CLASSES, 2.0 * (TRUTH > 0)),
    ],
)
def test_trees_predict_what_the_kind_of_task_publishes_and_do_so_again(
    task: Task, labels: np.ndarray
) -> None:
    def answers() -> np.ndarray:
        return boosted_answers(task, INPUTS[1_000:], labels[1_000:], (INPUTS[:500], labels[:500]), INPUTS)

    found = answers()
    assert np.array_equal(found, answers())
    fresh = slice(500, 1_000)
    if task.classes:
        assert found.shape == (4_000, 3)
        assert found.sum(1) == pytest.approx(1)
        assert (found[fresh].argmax(1) == labels[fresh]).mean() > 0.9
    else:
        assert np.corrcoef(found[fresh], labels[fresh])[0, 1] > 0.85


def test_without_a_validation_label_trees_are_fitted_all_the_same() -> None:
    found = boosted_answers(REGRESSION, INPUTS, TRUTH, (INPUTS[:0], TRUTH[:0]), INPUTS)
    assert np.corrcoef(found, TRUTH)[0, 1] > 0.95
