from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

import matplotlib
import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

from mtl_pipeline.evaluation.report.figures.canvas import STYLE, ReportFigure
from mtl_pipeline.evaluation.report.figures.palette import LIGHT
from mtl_pipeline.evaluation.report.figures.task_figures import task_figures
from mtl_pipeline.metrics.curves import (
    MOST_POINTS,
    class_f1,
    confusion,
    label_groups,
    precision_recall_points,
    reliability,
    roc_points,
    thin,
)
from mtl_pipeline.metrics.thresholds import threshold_counts
from mtl_pipeline.spec import Task


@dataclass(frozen=True)
class Drawn:
    title: str
    svg: str


def drawn(predictions: pl.DataFrame, task: Task, log: list[dict[str, float]]) -> list[Drawn]:
    with matplotlib.rc_context(STYLE):
        figures = task_figures(predictions, task, "multi_task", log)
    return [
        Drawn(figure.title, figure.svg(f"{task.kind}-{task.name}-{place}"))
        for place, figure in enumerate(figures)
    ]


@pytest.fixture(scope="module")
def figures(
    predictions: pl.DataFrame,
    tasks: list[Task],
    training_log: list[dict[str, float]],
    other_predictions: pl.DataFrame,
    other_tasks: list[Task],
) -> dict[str, list[Drawn]]:
    frames = [(predictions, task) for task in tasks] + [(other_predictions, task) for task in other_tasks]
    return {task.name: drawn(frame, task, training_log) for frame, task in frames}


def texts(figure: Drawn) -> list[str]:
    return [
        element.text or ""
        for element in ElementTree.fromstring(figure.svg).iter()
        if element.tag.endswith("text")
    ]


def test_each_kind_of_task_gets_its_figures(figures: dict[str, list[Drawn]]) -> None:
    ranking = ["ROC curve", "Precision and recall", "Calibration", "Training curves"]
    assert [figure.title for figure in figures["watched"]] == ranking
    values = ["Calibration", "Predicted against actual"]
    assert [figure.title for figure in figures["rating"]] == [*values, "Training curves"]
    assert [figure.title for figure in figures["visits"]] == values
    assert [figure.title for figure in figures["genre"]] == ["Confusion matrix", "F1 by class"]


def test_axes_are_named_with_units_and_models_with_text(figures: dict[str, list[Drawn]]) -> None:
    roc, _, calibration, training = figures["watched"]
    assert {
        "epoch (passes over the training rows)",
        "log-loss (nats per row)",
        "lowest validation loss: 5",
    } <= set(texts(training))
    assert "False Positive Rate" in texts(roc)
    assert {"constant", "popularity", "linear", "single_task", "multi_task"} <= set(texts(roc))
    assert {"predicted probability", "observed share of positives", "rows"} <= set(texts(calibration))
    assert "actual rating (label units)" in texts(figures["rating"][1])
    assert {"predicted visits (label units)", "observed visits (mean)", "rows"} <= set(
        texts(figures["visits"][0])
    )
    confused, f1 = figures["genre"]
    assert {"predicted genre (most probable class)", "actual genre", "documentary"} <= set(texts(confused))
    assert {"F1 of the class against the rest", "genre (test rows)", "ceiling"} <= set(texts(f1))


def test_ids_are_unique_on_the_page_and_references_resolve(figures: dict[str, list[Drawn]]) -> None:
    ids: list[str] = []
    for figure in (figure for of_task in figures.values() for figure in of_task):
        elements = list(ElementTree.fromstring(figure.svg).iter())
        own = [element.attrib["id"] for element in elements if "id" in element.attrib]
        ids += own
        for element in elements:
            for name, value in element.attrib.items():
                if name.endswith("href"):
                    assert value.startswith("data:image/png") or value[1:] in own
                if name == "clip-path":
                    assert value.removeprefix("url(#").removesuffix(")") in own
    assert len(ids) == len(set(ids))


def test_every_colour_follows_the_reader_s_colour_scheme(figures: dict[str, list[Drawn]]) -> None:
    for figure in (figure for of_task in figures.values() for figure in of_task):
        for element in ElementTree.fromstring(figure.svg).iter():
            for part in element.attrib.get("style", "").split(";"):
                assert "#" not in part or "var(--" in part
        assert "var(--accent, " + LIGHT["accent"] in figure.svg or figure.title == "Confusion matrix"
        assert "<style" not in figure.svg  # it would apply to the whole page


def test_the_same_figure_is_drawn_twice_alike(
    figures: dict[str, list[Drawn]],
    predictions: pl.DataFrame,
    tasks: list[Task],
    training_log: list[dict[str, float]],
) -> None:
    assert drawn(predictions, tasks[2], training_log) == figures["rating"]


def test_without_a_log_or_a_second_class_those_figures_are_left_out(
    predictions: pl.DataFrame, tasks: list[Task]
) -> None:
    one_class = predictions.with_columns(pl.lit(1.0).alias("label/watched"))
    titles = [figure.title for figure in drawn(one_class, tasks[0], [])]
    assert titles == ["Calibration"]
    unobserved = predictions.with_columns(pl.lit(None, dtype=pl.Float64).alias("label/rating"))
    assert drawn(unobserved, tasks[2], []) == []


def test_the_lowest_validation_loss_is_marked_when_no_epoch_is_named(
    predictions: pl.DataFrame, tasks: list[Task], training_log: list[dict[str, float]]
) -> None:
    training = drawn(predictions, tasks[2], training_log)[-1]
    assert "lowest validation loss: 5" in texts(training)


def test_a_dollar_is_a_dollar(predictions: pl.DataFrame) -> None:
    task = Task.model_construct(name="$x$ <b>", kind="regression", label=None, given=None, weight=1.0)
    renamed = predictions.select(
        "example_id",
        "user_id",
        "split",
        pl.col("label/rating").alias("label/$x$ <b>"),
        pl.col("prediction/multi_task/rating").alias("prediction/multi_task/$x$ <b>"),
    )
    assert "actual $x$ <b> (label units)" in texts(drawn(renamed, task, [])[1])


def test_curves_are_thinned_without_leaving_their_ends() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(50_000) < 0.2
    scores = rng.random(50_000)
    counts = threshold_counts(labels, scores)
    for x, y in (roc_points(counts), precision_recall_points(counts)):
        assert len(x) <= MOST_POINTS + 2
        assert len(x) == len(y)
    false_positive_rate, true_positive_rate = roc_points(counts)
    assert (false_positive_rate[0], true_positive_rate[0]) == (0, 0)
    assert (false_positive_rate[-1], true_positive_rate[-1]) == (1, 1)
    short = np.arange(5.0)
    assert thin(short, short)[0] is short


def test_reliability_bins_of_a_case_worked_by_hand() -> None:
    curve = reliability(np.array([0.0, 0, 1, 1, 0, 1]), np.array([0.1, 0.1, 0.1, 0.6, 0.8, 0.8]), bins=2)
    assert curve.rows.tolist() == [3, 3]
    assert curve.predicted == pytest.approx([0.1, 2.2 / 3])
    assert curve.observed == pytest.approx([1 / 3, 2 / 3])


def test_reliability_of_a_constant_is_one_bin() -> None:
    curve = reliability(np.array([0.0, 1, 1, 0]), np.full(4, 0.5))
    assert (curve.rows.tolist(), curve.observed.tolist()) == ([4], [0.5])


def test_labels_are_grouped_by_value_or_else_by_quantile() -> None:
    by_value = label_groups(np.array([1.0, 5, 1, 3]))
    assert by_value.by_value
    assert (by_value.centre.tolist(), by_value.rows.tolist()) == ([1, 3, 5], [2, 1, 1])
    by_quantile = label_groups(np.random.default_rng(0).exponential(size=1200))
    assert not by_quantile.by_value
    assert by_quantile.rows.tolist() == [100] * 12


def test_a_confusion_matrix_and_f1_by_class_of_a_case_worked_by_hand() -> None:
    labels = np.array([0.0, 0, 0, 2])
    probabilities = np.eye(3)[[0, 0, 1, 2]]
    shares = confusion(labels, probabilities)
    assert shares[0] == pytest.approx([2 / 3, 1 / 3, 0])
    assert np.isnan(shares[1]).all()  # no row is of the second class
    assert shares[2] == pytest.approx([0, 0, 1])
    assert class_f1(labels, probabilities) == pytest.approx([4 / 5, 0, 1])


def test_the_loss_of_the_training_curves_is_named_after_the_task_s_loss(
    predictions: pl.DataFrame, training_log: list[dict[str, float]]
) -> None:
    task = Task(name="rating", kind="regression", loss="huber")
    assert "Huber loss (label units²)" in texts(drawn(predictions, task, training_log)[-1])


def test_a_train_loss_of_something_else_is_not_drawn_beside_the_validation_loss(
    predictions: pl.DataFrame, training_log: list[dict[str, float]]
) -> None:
    without = [{key: of for key, of in entry.items() if key != "train_loss/rating"} for entry in training_log]
    task = Task(name="rating", kind="regression")
    for log, losses in ((training_log, ["train", "validation"]), (without, ["validation"])):
        said = texts(drawn(predictions, task, log)[-1])
        assert [text for text in said if text in ("train", "validation")] == losses


def test_a_name_with_control_characters_is_drawn() -> None:
    """Names of categories are raw data."""
    figure = Figure()
    figure.add_subplot().set_xlabel("Act\x01ion\ufffe")
    assert "Act\ufffdion\ufffd" in ReportFigure("A figure", "", figure).svg("one")
