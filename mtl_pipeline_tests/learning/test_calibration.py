"""Calibration mends what is wrong with probabilities, leaves what is right, and keeps the order of rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.metrics import log_loss, roc_auc_score

from mtl_pipeline.checksums import write_checksums
from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.calibration.calibrator import (
    FILE,
    Calibrator,
    calibrate,
    load_calibration,
    log_odds,
    save_calibration,
)
from mtl_pipeline.learning.calibration.fitting import (
    Fit,
    fit_calibration,
    fit_calibrator,
    fit_isotonic,
    fit_platt,
)
from mtl_pipeline.spec import PipelineSpec, Task

CLICK = Task(name="click", kind="binary")
MOOD = Task(name="mood", kind="multiclass", classes=["calm", "gay", "sad"])
RATING = Task(name="rating", kind="regression")
PLAYS = Task(name="plays", kind="count")

Distortion = Callable[[np.ndarray], np.ndarray]
"""Of log odds."""
DISTORTIONS: dict[str, Distortion] = {
    "too sure": lambda odds: 2 * odds + 0.5,
    "not sure enough": lambda odds: odds / 2,
    "too high": lambda odds: odds + 1,
    "bent": lambda odds: odds + 0.1 * (odds + 1) ** 3,
}


def clicks(
    rows: int, distort: Distortion = lambda odds: odds, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and their true probabilities distorted; float32, as a network gives them."""
    rng = np.random.default_rng(seed)
    odds = -1.5 + 1.3 * rng.normal(size=rows)
    labels = (rng.random(rows) < expit(odds)).astype(np.float32)
    return labels, expit(distort(odds)).astype(np.float32)


def calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Over 15 bins of equally many rows."""
    parts = np.array_split(np.argsort(probabilities), 15)
    return float(np.mean([abs(labels[part].mean() - probabilities[part].mean()) for part in parts]))


@pytest.mark.parametrize(
    "distortion, rows, method",
    [
        ("too sure", 2_000, "platt"),
        ("not sure enough", 2_000, "platt"),
        ("too high", 2_000, "platt"),
        ("too high", 30_000, "platt"),
        ("bent", 30_000, "isotonic"),
    ],
)
def test_a_planted_distortion_is_mended_on_fresh_rows(distortion: str, rows: int, method: str) -> None:
    distort = DISTORTIONS[distortion]
    calibrator = fit_calibrator(CLICK, *clicks(rows, distort))
    assert calibrator.method == method
    labels, before = clicks(50_000, distort, seed=1)
    after = calibrator.apply(before)
    assert calibration_error(labels, after) < 0.5 * calibration_error(labels, before)
    assert log_loss(labels, after) < log_loss(labels, before)


def test_too_few_rows_or_positives_for_a_curve_get_two_numbers() -> None:
    labels, bent = clicks(4_900, DISTORTIONS["bent"])
    assert fit_calibrator(CLICK, labels, bent).method == "platt"
    labels, high = clicks(50_000, DISTORTIONS["too high"])
    rare = labels * (np.arange(50_000) % 100 == 0)
    assert fit_calibrator(CLICK, rare, high).method == "platt"


@pytest.mark.parametrize("rows", [200, 2_000, 30_000])
def test_what_is_calibrated_is_hardly_changed(rows: int) -> None:
    calibrator = fit_calibrator(CLICK, *clicks(rows))
    labels, before = clicks(50_000, seed=1)
    after = calibrator.apply(before)
    assert np.abs(after - before).mean() < 0.02
    assert log_loss(labels, after) < log_loss(labels, before) + 0.001


def test_a_correction_that_does_not_last_is_not_made() -> None:
    labels, probabilities = clicks(4_000)
    early = np.arange(4_000) < 2_000
    drifting = expit(log_odds(probabilities) + np.where(early, 0.7, -0.7))
    calibrator = fit_calibrator(CLICK, labels, drifting)
    assert calibrator.method == "none"
    assert "platt does not help: fitted on either half of 4,000 validation rows" in calibrator.reason


@pytest.mark.parametrize("fit", [fit_platt, fit_isotonic])
@pytest.mark.parametrize("distort", DISTORTIONS.values(), ids=DISTORTIONS)
def test_rows_keep_their_order_without_new_ties(distort: Distortion, fit: Fit) -> None:
    calibrator = fit(*clicks(30_000, distort))
    labels, before = clicks(50_000, distort, seed=1)
    levels = np.unique(np.r_[before, np.float32(0), np.float32(1)])
    after = calibrator.apply(levels)
    assert (np.diff(after) > 0).all()
    assert ((after >= 0) & (after <= 1)).all()
    assert roc_auc_score(labels, calibrator.apply(before)) == pytest.approx(
        roc_auc_score(labels, before), abs=1e-12
    )


@pytest.mark.parametrize("rows", [2_000, 30_000])
def test_predictions_that_rank_backwards_are_not_turned_round(rows: int) -> None:
    labels, probabilities = clicks(rows, lambda odds: -odds)
    after = fit_calibrator(CLICK, labels, probabilities).apply(probabilities)
    assert (np.diff(after[np.argsort(probabilities)]) >= 0).all()
    assert after.mean() == pytest.approx(labels.mean(), abs=0.05)


def test_rows_told_apart_perfectly_have_a_finite_slope() -> None:
    labels = np.tile([0.0, 1.0], 50)
    calibrator = fit_calibrator(CLICK, labels, np.where(labels > 0, 0.9, 0.1))
    assert calibrator.method == "platt"
    assert 0 < calibrator.slope < 10


@pytest.mark.parametrize("rows", [2_000, 30_000])
def test_a_constant_answer_becomes_the_share_on_validation(rows: int) -> None:
    labels, _ = clicks(rows)
    calibrator = fit_calibrator(CLICK, labels, np.full(rows, 0.5))
    assert calibrator.apply(np.array([0.5])) == pytest.approx(labels.mean(), abs=0.002)


@pytest.mark.parametrize("labels", [np.zeros(500), np.ones(500), np.full(500, np.nan), np.empty(0)])
def test_one_class_or_none_cannot_be_calibrated_on(labels: np.ndarray) -> None:
    calibrator = fit_calibrator(CLICK, labels, np.full(len(labels), 0.3))
    assert (calibrator.method, calibrator.changes) == ("none", False)
    assert "of the rarer class" in calibrator.reason
    assert calibrator.apply(np.array([0.3, 1.0])).tolist() == [0.3, 1.0]


def test_labels_that_were_not_observed_take_no_part() -> None:
    labels, probabilities = clicks(3_000, DISTORTIONS["too sure"])
    unobserved = np.full(1_000, np.nan, dtype=np.float32)
    padded = fit_calibrator(CLICK, np.r_[labels, unobserved], np.r_[probabilities, np.ones(1_000)])
    assert padded == fit_calibrator(CLICK, labels, probabilities)


def moods(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Classes, and the logits of their true probabilities."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, 3)) * 1.2
    return (logits + rng.gumbel(size=logits.shape)).argmax(1).astype(float), logits


def test_a_temperature_is_found_again_and_keeps_every_most_probable_class() -> None:
    labels, logits = moods(5_000)
    sure = softmax(2.5 * logits, axis=1)
    calibrator = fit_calibrator(MOOD, labels, sure)
    assert 1 / calibrator.slope == pytest.approx(2.5, rel=0.05)
    labels, logits = moods(5_000, seed=1)
    sure = softmax(2.5 * logits, axis=1)
    after = calibrator.apply(sure)
    assert after.sum(1) == pytest.approx(1)
    assert (after.argmax(1) == sure.argmax(1)).all()
    assert log_loss(labels, after) < log_loss(labels, sure) - 0.1


def test_a_class_called_impossible_stays_so() -> None:
    labels, logits = moods(1_000)
    impossible = softmax(np.where([True, True, False], 2 * logits, -np.inf), axis=1)
    after = fit_calibrator(MOOD, labels, impossible).apply(impossible)
    assert (after[:, 2] == 0).all()
    assert after.sum(1) == pytest.approx(1)


def numbers(rows: int = 2_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Ratings, and the best prediction of each."""
    rng = np.random.default_rng(seed)
    best = 3 + rng.normal(size=rows)
    return best + rng.normal(size=rows), best


def test_numbers_are_corrected_where_that_clearly_helps_only() -> None:
    labels, best = numbers()
    assert fit_calibrator(RATING, labels, best).method == "none"
    shrunk = fit_calibrator(RATING, labels, 1 + best / 2)
    assert (shrunk.method, shrunk.slope) == ("line", pytest.approx(2, rel=0.1))
    assert shrunk.apply(1 + best / 2) == pytest.approx(best, abs=0.3)
    assert "do not rise" in fit_calibrator(RATING, labels, -best).reason


def test_a_task_that_does_not_ask_for_the_mean_keeps_its_answers() -> None:
    labels, best = numbers()
    median = RATING.model_copy(update={"loss": "absolute_error"})
    assert "absolute_error asks for no mean" in fit_calibrator(median, labels, best + 1).reason


def test_counts_are_scaled() -> None:
    rng = np.random.default_rng(0)
    expected = np.exp(rng.normal(size=3_000))
    plays = rng.poisson(expected).astype(float)
    assert fit_calibrator(PLAYS, plays, expected).method == "none"
    halved = fit_calibrator(PLAYS, plays, expected / 2)
    assert (halved.slope, halved.intercept) == (pytest.approx(2, rel=0.05), 0)


SPEC = PipelineSpec.model_validate({"tasks": [task.model_dump() for task in (CLICK, MOOD, RATING, PLAYS)]})


def test_saved_and_reloaded_it_calibrates_identically(tmp_path: Path) -> None:
    mood, logits = moods(3_000)
    click, probabilities = clicks(30_000, DISTORTIONS["bent"])
    rating, best = numbers()
    labels = {"click": click, "mood": mood, "rating": rating, "plays": np.full(9, np.nan)}
    predictions = {
        "click": probabilities,
        "mood": softmax(2 * logits, axis=1),
        "rating": best / 2,
        "plays": np.ones(9),
    }
    calibration = fit_calibration(SPEC, labels, predictions)
    assert [found.method for found in calibration.values()] == ["isotonic", "temperature", "line", "none"]
    save_calibration(tmp_path, calibration)
    write_checksums(tmp_path)
    reloaded = load_calibration(tmp_path)
    assert reloaded == calibration
    for task, values in calibrate(predictions, calibration).items():
        assert np.array_equal(calibrate(predictions, reloaded)[task], values)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    json.loads((tmp_path / FILE).read_text(), parse_constant=refuse)


def test_a_number_that_is_none_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_calibration(tmp_path, {"click": Calibrator("platt", "", slope=float("nan"))})


def test_a_model_without_its_calibration_is_refused(tmp_path: Path) -> None:
    write_checksums(tmp_path)
    with pytest.raises(UserError, match="materialize model again"):
        load_calibration(tmp_path)


def test_it_can_be_switched_off() -> None:
    training = SPEC.training.model_copy(update={"calibration": "none"})
    labels, probabilities = clicks(2_000, DISTORTIONS["too high"])
    found = fit_calibration(
        SPEC.model_copy(update={"training": training}), {"click": labels}, {"click": probabilities}
    )
    assert str(found["click"]) == "none: training.calibration is none"


def test_log_odds_are_finite_and_tell_small_probabilities_apart() -> None:
    odds = log_odds(np.array([0, 1e-20, 1e-10, 0.5, 1 - 6e-8, 1], dtype=np.float64))
    assert np.isfinite(odds).all()
    assert (np.diff(odds) > 0).all()


def test_a_label_that_starts_late_leaves_half_of_validation_with_one_class() -> None:
    probabilities = np.linspace(0.05, 0.95, 800)
    labels = np.where(np.arange(800) < 400, 0.0, np.arange(800) % 3 == 0)
    found = fit_calibrator(Task(name="liked", kind="binary"), labels, probabilities)
    assert np.isfinite(found.apply(probabilities)).all()
