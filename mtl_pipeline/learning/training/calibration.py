"""Calibration: predictions mended on validation so that of the rows given 30 % about 30 % happen.

binary        Platt scaling (Platt 1999), or with enough rows isotonic regression (Zadrozny and Elkan, KDD 2002,
              https://doi.org/10.1145/775047.775151) of bins, where that is better
multiclass    temperature scaling (Guo et al., ICML 2017, https://arxiv.org/abs/1706.04599)
regression    a line, where it clearly helps: a network trained for the mean mostly gives it
count         a factor, likewise

A correction is made only if one fitted on half of the validation rows helps on the other half.

Every correction rises strictly, so that rows keep their order: the steps of isotonic regression become
points with lines between them in log odds (as Oron and Flournoy 2017, https://arxiv.org/abs/1701.05964,
centre them), and a correction that would turn the order round is not made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ConfigDict, TypeAdapter
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax, logit, softmax, xlogy
from sklearn.isotonic import IsotonicRegression

from mtl_pipeline.champions import reading_model
from mtl_pipeline.errors import UserError, in_short
from mtl_pipeline.kinds import KINDS
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
"""Share of the loss that a correction of numbers must save, and clearly so, on rows that it was not fitted on."""
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

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    method: Literal["platt", "isotonic", "temperature", "line", "none"]
    reason: str = ""
    """Why this method, for people."""
    slope: float = 1.0
    intercept: float = 0.0
    knots: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if self.method == "isotonic" and len(self.knots) < 2:
            raise ValueError("isotonic needs at least two knots")

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


CALIBRATION = TypeAdapter(dict[str, Calibrator])
"""By task: what calibration.json holds."""


def fit_calibrator(task: Task, labels: np.ndarray, predictions: np.ndarray) -> Calibrator:
    """Fit on validation rows.

    `labels`: [rows], NaN where not observed; `predictions`: [rows], or [rows, classes] (multiclass).
    """
    observed = ~np.isnan(labels)
    labels, predictions = labels[observed].astype(np.float64), predictions[observed].astype(np.float64)
    kind = KINDS[task.kind]
    if "platt" in kind.calibrations:
        return calibrate_binary(labels, predictions)
    rows = f"{len(labels):,} validation rows"
    if len(labels) < FEWEST_ROWS:
        return Calibrator("none", f"{rows}, fewer than {FEWEST_ROWS}")
    if "temperature" in kind.calibrations:
        return most_useful([fit_temperature], class_log_losses, labels, predictions, rows)
    if "factor" in kind.calibrations:
        return most_useful([fit_factor], poisson_deviances, labels, predictions, rows, USEFUL_GAIN)
    if task.loss_name != "squared_error":
        return Calibrator("none", f"{task.loss_name} asks for no mean, which a line would be fitted to")
    return most_useful([fit_line], squared_errors, labels, predictions, rows, USEFUL_GAIN)


def calibrate_binary(labels: np.ndarray, probabilities: np.ndarray) -> Calibrator:
    rarer = int(min(labels.sum(), (1 - labels).sum()))
    rows = f"{len(labels):,} validation rows, {rarer:,} of the rarer class"
    if rarer < FEWEST_OF_EACH_CLASS:
        return Calibrator("none", f"{rows}, fewer than {FEWEST_OF_EACH_CLASS}")
    enough = len(labels) >= ISOTONIC_ROWS and rarer >= ISOTONIC_OF_EACH_CLASS
    fits = [fit_platt, fit_isotonic] if enough else [fit_platt]
    return most_useful(fits, log_losses, labels, probabilities, rows)


Fit = Callable[[np.ndarray, np.ndarray], Calibrator]
"""From labels and predictions."""
Losses = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(labels, predictions) → loss of each row."""


def most_useful(
    fits: Sequence[Fit],
    losses: Losses,
    labels: np.ndarray,
    predictions: np.ndarray,
    rows: str,
    least_gain: float = 0.0,
) -> Calibrator:
    """The correction that, fitted on either half of the rows, saves most of the loss on the other half.

    Rows come in the order of time where there is time, so a correction has to last, as it must until the test.
    None is made that saves no more than the share `least_gain`, or, where a gain is asked for, is no clear one.
    """
    before = losses(labels, predictions).mean()
    gains = [held_out_gains(fit, losses, labels, predictions) for fit in fits]
    best = int(np.argmax([gain.mean() for gain in gains]))
    gain, found = gains[best], fits[best](labels, predictions)
    share = float(gain.mean() / before) if before > 0 else 0.0
    clear = not least_gain or gain.mean() > 2 * gain.std() / np.sqrt(len(gain))
    outcome = f"fitted on either half of {rows}, it changes the loss on the other half by {-share:+.2%}"
    if found.slope <= 0:
        return Calibrator("none", f"the predictions do not rise with the labels of {rows}")
    if share <= least_gain or not clear:
        return Calibrator("none", f"{found.method} does not {'clearly ' * bool(least_gain)}help: {outcome}")
    return replace(found, reason=outcome)


def held_out_gains(fit: Fit, losses: Losses, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """[rows]: what the correction saves of each row's loss, when fitted on the half that it is not in."""
    first, second = np.array_split(np.arange(len(labels)), 2)
    gains = np.empty(len(labels))
    for own, other in ((first, second), (second, first)):
        after = fit(labels[own], predictions[own]).apply(predictions[other])
        gains[other] = losses(labels[other], predictions[other]) - losses(labels[other], after)
    return gains


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


def fit_platt(labels: np.ndarray, probabilities: np.ndarray) -> Calibrator:
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
    return Calibrator("platt", slope=float(found.x[0]), intercept=float(found.x[1]))


def fit_isotonic(labels: np.ndarray, probabilities: np.ndarray) -> Calibrator:
    """Isotonic regression of the bins' shares of positives on their mean predictions; Platt scaling where that finds
    no step, as of a constant."""
    bins = int(min(MOST_BINS, labels.sum() // RARER_ROWS_PER_BIN, (1 - labels).sum() // RARER_ROWS_PER_BIN))
    edges = np.unique(np.quantile(probabilities, np.linspace(0, 1, max(bins, 1) + 1)[1:-1]))
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
    if len(levels) == 1:
        return fit_platt(labels, probabilities)
    step_rows = np.bincount(step_of_bin, weights=rows)
    before = log_odds(np.bincount(step_of_bin, weights=predicted) / step_rows)
    after = log_odds(np.bincount(step_of_bin, weights=steps * rows) / step_rows)
    knots = tuple(zip(before.tolist(), after.tolist(), strict=True))
    return Calibrator("isotonic", knots=with_far_ends(knots))


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
    """`labels`: [rows], the index of the class that came."""
    scores = log_probabilities(probabilities)
    classes = labels.astype(np.int64)
    possible = np.isfinite(scores[np.arange(len(labels)), classes])  # nothing helps a class held impossible
    scores, classes = scores[possible], classes[possible]
    rows = np.arange(len(classes))

    def loss(log_slope: float) -> float:
        return -float(log_softmax(np.exp(log_slope) * scores, axis=1)[rows, classes].sum())

    found = minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded")
    return Calibrator("temperature", slope=float(np.exp(found.x)))


def fit_line(labels: np.ndarray, predictions: np.ndarray) -> Calibrator:
    """Least squares; of a constant, the shift to the labels' mean."""
    if np.ptp(predictions) == 0:
        return Calibrator("line", intercept=float(labels.mean() - predictions[0]))
    centred = predictions - predictions.mean()
    slope = float(centred @ labels / (centred @ centred))
    return Calibrator("line", slope=slope, intercept=float(labels.mean() - slope * predictions.mean()))


def fit_factor(labels: np.ndarray, predictions: np.ndarray) -> Calibrator:
    """What brings the mean expected count to the mean count, where the Poisson deviance is lowest."""
    total = predictions.sum()
    return Calibrator("line", slope=float(labels.sum() / total) if total > 0 else 1.0)


def log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    odds = log_odds(probabilities)
    return np.logaddexp(0, odds) - labels * odds


def class_log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    came = probabilities[np.arange(len(labels)), labels.astype(np.int64)]
    return -np.log(np.maximum(came, SMALLEST))


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
    """Of the model in a folder, verified. Raises UserError where there is no calibration.json, or it is none."""
    try:
        with reading_model(folder) as version:
            return CALIBRATION.validate_json((version / FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder} holds no {FILE} that can be read: materialize model again ({in_short(error)})"
        ) from error
