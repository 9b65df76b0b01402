from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from mtl_pipeline.kinds import KINDS
from mtl_pipeline.metrics.losses import poisson_deviances
from mtl_pipeline.metrics.metric import Score, ceiling_share
from mtl_pipeline.metrics.thresholds import best_f1_threshold, threshold_counts


def binary_scores(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> dict[str, Score]:
    return KINDS["binary"].measure(labels, probabilities, threshold=Score(threshold)).scores


def test_binary_metrics_of_a_case_worked_by_hand() -> None:
    labels = np.array([0.0, 1, 0, 1, 1])
    probabilities = np.array([0.1, 0.4, 0.6, 0.7, 0.9])
    scores = {name: score.value for name, score in binary_scores(labels, probabilities, 0.6).items()}
    assert scores["accuracy"] == pytest.approx(3 / 5)  # wrong: the second and the third
    assert scores["precision"] == pytest.approx(2 / 3)  # .6, .7 and .9 are called positive
    assert scores["recall"] == pytest.approx(2 / 3)
    assert scores["f1"] == pytest.approx(2 / 3)
    assert scores["roc_auc"] == pytest.approx(5 / 6)  # of 3 × 2 pairs only (.4, .6) is ranked wrong
    assert scores["pr_auc"] == pytest.approx((1 + 1 + 3 / 4) / 3)  # precision where .9, .7 and .4 are found
    assert scores["log_loss"] == pytest.approx(-math.log(0.9 * 0.4 * 0.4 * 0.7 * 0.9) / 5)
    base_entropy = -(0.6 * math.log(0.6) + 0.4 * math.log(0.4))  # three of five are positive
    assert scores["normalised_entropy"] == pytest.approx(scores["log_loss"] / base_entropy)
    assert scores["brier"] == pytest.approx((0.1**2 + 0.6**2 + 0.6**2 + 0.3**2 + 0.1**2) / 5)
    assert scores["ece"] == pytest.approx((0.1 + 0.6 + 0.6 + 0.3 + 0.1) / 5)  # each row is a bin
    assert "gauc" not in scores  # nobody said whose rows these are


def test_regression_metrics_of_a_case_worked_by_hand() -> None:
    scores = KINDS["regression"].measure(np.array([1.0, 2, 3]), np.array([1.0, 4, 2])).scores
    assert scores["mse"].value == pytest.approx(5 / 3)
    assert scores["rmse"].value == pytest.approx(math.sqrt(5 / 3))
    assert scores["mae"].value == pytest.approx(1)
    assert scores["r2"].value == pytest.approx(1 - 5 / 2)


def test_count_metrics_of_a_case_worked_by_hand() -> None:
    counts, expected = np.array([0.0, 2, 4]), np.array([1.0, 2, 2])
    scores = {name: score.value for name, score in KINDS["count"].measure(counts, expected).scores.items()}
    deviance = 2 * (1 + 0 + (4 * math.log(4 / 2) - 4 + 2)) / 3
    of_the_mean = 2 * (2 + 0 + (4 * math.log(4 / 2) - 4 + 2)) / 3
    assert scores["poisson_deviance"] == pytest.approx(deviance)
    assert scores["d2"] == pytest.approx(1 - deviance / of_the_mean)
    assert scores["rmse"] == pytest.approx(math.sqrt(5 / 3))
    assert scores["mae"] == pytest.approx(1)
    assert poisson_deviances(counts, expected).mean() == pytest.approx(deviance)


def test_an_expected_count_of_zero_is_wrong_only_where_something_happened() -> None:
    assert (
        KINDS["count"].measure(np.array([0.0, 1]), np.array([0.0, 1.0])).scores["poisson_deviance"].value
        < 1e-12
    )
    assert (
        10
        < KINDS["count"].measure(np.array([1.0, 1]), np.array([0.0, 1.0])).scores["poisson_deviance"].value
        < math.inf
    )


def test_multiclass_metrics_of_a_case_worked_by_hand() -> None:
    labels = np.array([0.0, 0, 1, 2])
    probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])
    scores = {
        name: score.value for name, score in KINDS["multiclass"].measure(labels, probabilities).scores.items()
    }
    assert scores["log_loss"] == pytest.approx(-math.log(0.6 * 0.2 * 0.8 * 0.4) / 4)
    assert scores["accuracy"] == pytest.approx(3 / 4)  # the second row is taken for class 1
    assert scores["balanced_accuracy"] == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    # Of 2 × 2 pairs of class 0 and the rest (.2, .3) is ranked wrong; the others are told apart.
    assert scores["macro_roc_auc"] == pytest.approx((3 / 4 + 1 + 1) / 3)


def test_a_class_that_never_comes_does_not_enter_the_means() -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.8, 0.1]])
    scores = KINDS["multiclass"].measure(np.array([0.0, 1, 1]), probabilities).scores
    assert scores["macro_roc_auc"].value == 1
    assert scores["balanced_accuracy"].value == 1
    one_class = KINDS["multiclass"].measure(np.ones(3), probabilities).scores
    assert one_class["macro_roc_auc"].note == "only one class: every observed label is class 1"
    assert math.isfinite(one_class["log_loss"].value)


def test_float32_probabilities_need_not_add_up_to_one_exactly() -> None:
    probabilities = np.full((4, 3), 1 / 3, np.float32).astype(np.float64) * (1 + 1e-4)
    assert KINDS["multiclass"].measure(np.array([0.0, 1, 2, 0]), probabilities).scores[
        "log_loss"
    ].value == pytest.approx(math.log(3))


@pytest.mark.parametrize("digits", [1, 2, 9], ids="scores of {} digits".format)
def test_one_count_at_every_threshold_gives_what_scikit_learn_computes_apart(digits: int) -> None:
    rng = np.random.default_rng(digits)
    labels = (rng.random(2_000) < 0.2).astype(float)
    scores = np.clip(0.3 + 0.2 * labels + 0.2 * rng.normal(size=2_000), 0, 1).round(digits)
    counts = threshold_counts(labels, scores)
    assert counts.roc_auc == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores), abs=1e-12)
    expected = sklearn_metrics.average_precision_score(labels, scores)
    assert counts.average_precision == pytest.approx(expected, abs=1e-12)


def test_the_way_to_the_ceiling() -> None:
    assert ceiling_share(model=0.5, constant=0.6, ceiling=0.4).value == pytest.approx(0.5)
    assert ceiling_share(model=0.7, constant=0.6, ceiling=0.4).value == pytest.approx(-0.5)
    assert "not better than the constant" in ceiling_share(0.5, constant=0.6, ceiling=0.6).note


def test_threshold_maximises_f1() -> None:
    labels = np.array([0.0, 1, 0, 1, 1])
    probabilities = np.array([0.1, 0.4, 0.6, 0.7, 0.9])
    f1 = {value: binary_scores(labels, probabilities, value)["f1"].value for value in probabilities}
    chosen = best_f1_threshold(labels, probabilities).value
    assert chosen == 0.4  # three of three found, one false alarm: 6/7, against 4/5 at .7
    assert f1[chosen] == max(f1.values())


def test_threshold_without_a_positive_row_is_a_half_and_says_why() -> None:
    threshold = best_f1_threshold(np.zeros(3), np.array([0.2, 0.3, 0.9]))
    assert threshold.value == 0.5
    assert "no positive" in threshold.note


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_leaves_only_the_curves_undefined(label: float) -> None:
    scores = (
        KINDS["binary"]
        .measure(np.full(4, label), np.array([0.2, 0.4, 0.6, 0.8]), threshold=Score(0.5))
        .scores
    )
    for name in ("roc_auc", "pr_auc"):
        assert math.isnan(scores[name].value)
        assert scores[name].note == f"only one class: every observed label is {label:.0f}"
    assert math.isfinite(scores["log_loss"].value)
    assert scores["accuracy"].value == 0.5


def test_precision_is_undefined_when_nothing_is_called_positive() -> None:
    scores = binary_scores(np.array([0.0, 1]), np.array([0.1, 0.2]), 0.5)
    assert math.isnan(scores["precision"].value)
    assert scores["precision"].note == "no row predicted positive"
    assert scores["recall"].value == 0
    assert scores["f1"].value == 0


def test_no_rows_leave_everything_undefined() -> None:
    none = np.zeros(0)
    for scores in (
        KINDS["binary"].measure(none, none).scores,
        KINDS["regression"].measure(none, none).scores,
        KINDS["count"].measure(none, none).scores,
        KINDS["multiclass"].measure(none, np.zeros((0, 3))).scores,
    ):
        assert all(math.isnan(score.value) and score.note for score in scores.values())
