"""Calibration: predictions mended on validation so that of the rows given 30 % about 30 % happen.

binary        with enough rows isotonic regression (Zadrozny and Elkan, KDD 2002,
              https://doi.org/10.1145/775047.775151) of bins, else Platt scaling (Platt 1999)
multiclass    temperature scaling (Guo et al., ICML 2017, https://arxiv.org/abs/1706.04599)
regression    a line, where it clearly helps; count: a factor, likewise

Every correction rises strictly, so that rows keep their order: the steps of isotonic regression become
points with lines between them in log odds (as Oron and Flournoy 2017, https://arxiv.org/abs/1701.05964,
centre them), and a correction that would turn the order round is not made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax, logit, softmax, xlogy
from sklearn.isotonic import IsotonicRegression

from mtl_pipeline.errors import UserError
from mtl_pipeline.spec import PipelineSpec, Task

FEWEST_ROWS = 100
"""Below that a task that is not binary is left alone."""
FEWEST_OF_EACH_CLASS = 20
"""Rows of the rarer class, below which a binary task is left alone."""
ISOTONIC_ROWS, ISOTONIC_OF_EACH_CLASS = 5_000, 1_000
"""From these on a free curve is known better than the two numbers of Platt scaling."""
MOST_BINS, RARER_ROWS_PER_BIN = 100, 100
"""Isotonic regression sees bins of equally many rows: of single rows its ends would be certain of themselves."""
SMALLEST_SLOPE = 1e-3
"""Platt scaling of predictions that say nothing is nearly constant, but rises."""
USEFUL_GAIN = 0.01
"""Share of the loss that a correction of numbers must save, on rows that it was not fitted on."""
SMALLEST, LARGEST = 1e-30, 1 - 2**-53
"""Probabilities are kept between these, where log odds are finite."""
FARTHEST = 100.0
"""Log odds beyond those of SMALLEST and LARGEST."""

FILE = "calibration.json"


@dataclass(frozen=True)
class Calibrator:
    """A correction of one task's predictions.

    platt        sigmoid of slope · log odds + intercept
    isotonic     sigmoid of the line through `knots` (log odds before, after)
    temperature  softmax of slope · log probabilities: slope is 1 / temperature
    line         slope · value + intercept
    none         predictions stay as they are
    """

    method: Literal["platt", "isotonic", "temperature", "line", "none"]
    reason: str
    """Why this method, for people."""
    slope: float = 1.0
    intercept: float = 0.0
    knots: tuple[tuple[float, float], ...] = ()

    def __str__(self) -> str:
        return f"{self.method}: {self.reason}"

    @property
    def changes(self) -> bool:
        return self.method != "none"

    def apply(self, predictions: np.ndarray) -> np.ndarray:
        """Predictions in the form that Ranker.predict gives; float64 of the same shape where anything changes."""
        match self.method:
            case "platt":
                return expit(self.slope * log_odds(predictions) + self.intercept)
            case "isotonic":
                before, after = np.array(self.knots).T
                return expit(np.interp(log_odds(predictions), before, after))
            case "temperature":
                return softmax(self.slope * log_probabilities(predictions), axis=1)
            case "line":
                return self.slope * predictions.astype(np.float64) + self.intercept
            case _:
                return predictions


def fit_calibrator(task: Task, labels: np.ndarray, predictions: np.ndarray) -> Calibrator:
    """Fit on validation rows.

    `labels`: [rows], NaN where not observed; `predictions`: [rows], or [rows, classes] (multiclass).
    """
    observed = ~np.isnan(labels)
    labels, predictions = labels[observed].astype(np.float64), predictions[observed].astype(np.float64)
    if task.kind == "binary":
        return fit_binary(labels, predictions)
    if len(labels) < FEWEST_ROWS:
        return Calibrator("none", f"only {len(labels):,} validation rows, fewer than {FEWEST_ROWS}")
    if task.kind == "multiclass":
        return fit_temperature(labels.astype(np.int64), predictions)
    if task.kind == "count":
        return if_useful(fit_factor, poisson_deviances, labels, predictions)
    if task.loss_name != "squared_error":
        return Calibrator("none", f"{task.loss_name} asks for no mean, which a line would be fitted to")
    return if_useful(fit_line, squared_errors, labels, predictions)


def fit_calibration(
    spec: PipelineSpec, labels: Mapping[str, np.ndarray], predictions: Mapping[str, np.ndarray]
) -> dict[str, Calibrator]:
    """A calibrator for each task that is predicted, as `training.calibration` says."""
    if spec.training.calibration == "none":
        return dict.fromkeys(predictions, Calibrator("none", "training.calibration is none"))
    return {
        task: fit_calibrator(spec.task(task), labels[task], values) for task, values in predictions.items()
    }


def calibrate(
    predictions: Mapping[str, np.ndarray], calibration: Mapping[str, Calibrator]
) -> dict[str, np.ndarray]:
    """Predictions by task, each corrected where there is a calibrator for it."""
    return {
        task: calibration[task].apply(values) if task in calibration else values
        for task, values in predictions.items()
    }


def fit_binary(labels: np.ndarray, probabilities: np.ndarray) -> Calibrator:
    rarer = int(min(labels.sum(), (1 - labels).sum()))
    rows = f"{len(labels):,} validation rows, {rarer:,} of the rarer class"
    if rarer < FEWEST_OF_EACH_CLASS:
        return Calibrator("none", f"{rows}: fewer than {FEWEST_OF_EACH_CLASS} cannot be calibrated on")
    if len(labels) < ISOTONIC_ROWS or rarer < ISOTONIC_OF_EACH_CLASS:
        return fit_platt(labels, probabilities, f"{rows}: too few for a free curve")
    return fit_isotonic(labels, probabilities, min(MOST_BINS, rarer // RARER_ROWS_PER_BIN), rows)


def fit_platt(labels: np.ndarray, probabilities: np.ndarray, reason: str) -> Calibrator:
    """Logistic regression on the log odds, with Platt's targets, which are a little less sure than the labels:
    without them rows that are told apart perfectly have no best slope."""
    inputs = log_odds(probabilities)
    positives = labels.sum()
    high, low = (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2)
    targets = np.where(labels > 0, high, low)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        outputs = parameters[0] * inputs + parameters[1]
        errors = expit(outputs) - targets
        gradient = np.array([(errors * inputs).mean(), errors.mean()])
        return float((np.logaddexp(0, outputs) - targets * outputs).mean()), gradient

    bounds = [(SMALLEST_SLOPE, None), (None, None)]
    found = minimize(loss, [1.0, 0.0], jac=True, bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-12})
    return Calibrator("platt", reason, slope=float(found.x[0]), intercept=float(found.x[1]))


def fit_isotonic(labels: np.ndarray, probabilities: np.ndarray, bins: int, reason: str) -> Calibrator:
    """Isotonic regression of the bins' shares of positives on their mean predictions."""
    edges = np.unique(np.quantile(probabilities, np.linspace(0, 1, bins + 1)[1:-1]))
    bin_of_row = np.searchsorted(edges, probabilities, side="left")
    rows = np.bincount(bin_of_row)
    filled = rows > 0
    rows, positives, predicted = (
        sums[filled]
        for sums in (
            rows,
            np.bincount(bin_of_row, weights=labels),
            np.bincount(bin_of_row, weights=probabilities),
        )
    )
    # One more row of the mean share keeps a bin without positives from being certain.
    shares = (positives + labels.mean()) / (rows + 1)
    steps = IsotonicRegression().fit_transform(np.arange(len(rows)), shares, sample_weight=rows)
    levels, step_of_bin = np.unique(steps, return_inverse=True)
    if len(levels) == 1:  # no curve to follow: where predictions say nothing, a small slope mends them
        return fit_platt(labels, probabilities, f"{reason}: isotonic regression finds no step")
    step_rows = np.bincount(step_of_bin, weights=rows)
    before = log_odds(np.bincount(step_of_bin, weights=predicted) / step_rows)
    after = log_odds(np.bincount(step_of_bin, weights=steps * rows) / step_rows)
    knots = tuple(zip(before.tolist(), after.tolist(), strict=True))
    return Calibrator("isotonic", reason, knots=with_far_ends(knots))


def with_far_ends(knots: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    """The knots, at least two, and, so that the ends rise too, a far one on either side, at the slope between
    first and last."""
    (first, first_after), (last, last_after) = knots[0], knots[-1]
    slope = (last_after - first_after) / (last - first)
    return (
        (-FARTHEST, first_after - slope * (first + FARTHEST)),
        *knots,
        (FARTHEST, last_after + slope * (FARTHEST - last)),
    )


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> Calibrator:
    """`labels`: int64 [rows], the class that came."""
    scores = log_probabilities(probabilities)
    rows = np.arange(len(labels))
    came = np.isfinite(scores[rows, labels])  # no temperature helps a class that was held impossible
    if not came.any():
        return Calibrator("none", "every observed class has probability 0")
    scores, labels, rows = scores[came], labels[came], np.arange(int(came.sum()))

    def loss(log_slope: float) -> float:
        return -float(log_softmax(np.exp(log_slope) * scores, axis=1)[rows, labels].mean())

    found = minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded")
    return Calibrator("temperature", f"{len(labels):,} validation rows", slope=float(np.exp(found.x)))


Fit = Callable[[np.ndarray, np.ndarray], tuple[float, float]]
"""(labels, predictions) → slope, intercept."""


def fit_line(labels: np.ndarray, predictions: np.ndarray) -> tuple[float, float]:
    """Least squares; of a constant, the shift to the labels' mean."""
    if np.ptp(predictions) == 0:
        return 1.0, float(labels.mean() - predictions[0])
    centred = predictions - predictions.mean()
    slope = float(centred @ labels / (centred @ centred))
    return slope, float(labels.mean() - slope * predictions.mean())


def fit_factor(labels: np.ndarray, predictions: np.ndarray) -> tuple[float, float]:
    """What brings the mean expected count to the mean count, which the Poisson deviance is lowest at."""
    total = predictions.sum()
    return (float(labels.sum() / total) if total > 0 else 1.0), 0.0


def if_useful(
    fit: Fit,
    losses: Callable[[np.ndarray, np.ndarray], np.ndarray],
    labels: np.ndarray,
    predictions: np.ndarray,
) -> Calibrator:
    """The fitted line, if lines fitted on either half of the rows clearly help on the other half.

    A network trained for the mean mostly gives it, and then a line fitted to noise only hurts.
    """
    halves = np.array_split(np.arange(len(labels)), 2)
    gains = np.empty(len(labels))
    for own, other in (halves, halves[::-1]):
        slope, intercept = fit(labels[own], predictions[own])
        corrected = slope * predictions[other] + intercept
        gains[other] = losses(labels[other], predictions[other]) - losses(labels[other], corrected)
    slope, intercept = fit(labels, predictions)
    if slope <= 0:
        return Calibrator("none", "the predictions do not rise with the labels")
    before = losses(labels, predictions).mean()
    share = float(gains.mean() / before) if before > 0 else 0.0
    clear = gains.mean() > 2 * gains.std() / np.sqrt(len(gains))
    outcome = f"fitted on half of the validation rows, it changes the loss on the other half by {-share:+.1%}"
    if not (clear and share >= USEFUL_GAIN):
        return Calibrator("none", f"a correction does not clearly help: {outcome}")
    return Calibrator("line", outcome, slope=slope, intercept=intercept)


def squared_errors(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return (predictions - labels) ** 2


def poisson_deviances(counts: np.ndarray, expected: np.ndarray) -> np.ndarray:
    positive = np.maximum(expected, SMALLEST)
    return 2 * (xlogy(counts, counts / positive) - counts + positive)


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    return logit(np.clip(probabilities.astype(np.float64), SMALLEST, LARGEST))


def log_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """A probability of 0 stays impossible: −inf."""
    with np.errstate(divide="ignore"):
        return np.log(probabilities.astype(np.float64))


def save_calibration(folder: Path, calibration: Mapping[str, Calibrator]) -> None:
    """Write calibration.json: a calibrator by task."""
    values = {task: asdict(calibrator) for task, calibrator in calibration.items()}
    (folder / FILE).write_text(json.dumps(values, indent=1, allow_nan=False) + "\n")


def load_calibration(folder: Path) -> dict[str, Calibrator]:
    """Raises UserError where there is no calibration.json."""
    if not (folder / FILE).is_file():
        raise UserError(f"{folder} holds no {FILE}: materialize model again")
    read: dict[str, dict[str, Any]] = json.loads((folder / FILE).read_text())
    return {
        task: Calibrator(**values | {"knots": tuple(map(tuple, values["knots"]))})
        for task, values in read.items()
    }
