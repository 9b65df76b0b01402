from __future__ import annotations

import math

import numpy as np
import pytest

from mtl_pipeline.evaluation.metrics import best_f1_threshold, binary_scores, regression_scores


def test_binary_metrics_of_a_case_worked_by_hand() -> None:
    labels = np.array([0.0, 1, 0, 1, 1])
    probabilities = np.array([0.1, 0.4, 0.6, 0.7, 0.9])
    scores = {
        name: score.value for name, score in binary_scores(labels, probabilities, threshold=0.6).items()
    }
    assert scores["accuracy"] == pytest.approx(3 / 5)  # wrong: the second and the third
    assert scores["precision"] == pytest.approx(2 / 3)  # .6, .7 and .9 are called positive
    assert scores["recall"] == pytest.approx(2 / 3)
    assert scores["f1"] == pytest.approx(2 / 3)
    assert scores["roc_auc"] == pytest.approx(5 / 6)  # of 3 × 2 pairs only (.4, .6) is ranked wrong
    assert scores["pr_auc"] == pytest.approx((1 + 1 + 3 / 4) / 3)  # precision where .9, .7 and .4 are found
    assert scores["log_loss"] == pytest.approx(-math.log(0.9 * 0.4 * 0.4 * 0.7 * 0.9) / 5)


def test_regression_metrics_of_a_case_worked_by_hand() -> None:
    scores = regression_scores(labels=np.array([1.0, 2, 3]), predictions=np.array([1.0, 4, 2]))
    assert scores["mse"].value == pytest.approx(5 / 3)
    assert scores["rmse"].value == pytest.approx(math.sqrt(5 / 3))
    assert scores["mae"].value == pytest.approx(1)


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
    scores = binary_scores(np.full(4, label), np.array([0.2, 0.4, 0.6, 0.8]), threshold=0.5)
    for name in ("roc_auc", "pr_auc"):
        assert math.isnan(scores[name].value)
        assert scores[name].note == f"only one class: every observed label is {label:.0f}"
    assert math.isfinite(scores["log_loss"].value)
    assert scores["accuracy"].value == 0.5


def test_precision_is_undefined_when_nothing_is_called_positive() -> None:
    scores = binary_scores(np.array([0.0, 1]), np.array([0.1, 0.2]), threshold=0.5)
    assert math.isnan(scores["precision"].value)
    assert scores["precision"].note == "no row predicted positive"
    assert scores["recall"].value == 0
    assert scores["f1"].value == 0


def test_no_rows_leave_everything_undefined() -> None:
    for scores in (binary_scores(np.zeros(0), np.zeros(0), 0.5), regression_scores(np.zeros(0), np.zeros(0))):
        assert all(math.isnan(score.value) and score.note for score in scores.values())
