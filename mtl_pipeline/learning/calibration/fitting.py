"""Calibration: predictions are corrected on validation rows, so that of the rows given 30 % about 30 % happen.

platt        logistic regression on the log odds (Platt 1999)
isotonic     isotonic regression (Zadrozny and Elkan, KDD 2002, https://doi.org/10.1145/775047.775151), with many rows
temperature  one factor on the logits of the classes (Guo et al., ICML 2017, https://arxiv.org/abs/1706.04599)
line         least squares, for numbers; for counts a factor

A correction is kept only if, fitted on either half of the validation rows, it lowers the loss on the other half. Where
there is time, rows are in its order, so the correction has to last, as it must until the test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from mtl_pipeline.kinds import KINDS
from mtl_pipeline.learning.calibration.calibrator import Calibrator, log_odds, log_probabilities
from mtl_pipeline.spec import PipelineSpec, Task

FEWEST_ROWS, FEWEST_OF_EACH_CLASS = 100, 20
"""With fewer validation rows nothing is fitted."""
ISOTONIC_ROWS, ISOTONIC_OF_EACH_CLASS = 5_000, 1_000
"""With fewer, a free curve is known worse than the two numbers of Platt scaling."""
MOST_BINS, RARER_ROWS_PER_BIN = 100, 100
"""Isotonic regression sees bins of equally many rows: fitted on single rows, its ends would be 0 and 1."""
SMALLEST_SLOPE = 1e-3
"""Uninformative predictions become nearly constant, but keep their order."""
USEFUL_GAIN = 0.01
"""Share of the loss that a line must save, beyond doubt: a network trained for the mean mostly gives it already."""


def fit_calibration(
    spec: PipelineSpec, labels: Mapping[str, np.ndarray], predictions: Mapping[str, np.ndarray]
) -> dict[str, Calibrator]:
    """A calibrator for each task that is predicted, as `training.calibration` says."""
    if spec.training.calibration == "none":
        return dict.fromkeys(predictions, Calibrator("none", "training.calibration is none"))
    return {
        task: fit_calibrator(spec.task(task), labels[task], values) for task, values in predictions.items()
    }


Fit = Callable[[np.ndarray, np.ndarray], Calibrator]
"""From labels and predictions."""


def fit_calibrator(task: Task, labels: np.ndarray, predictions: np.ndarray) -> Calibrator:
    """Fit on validation rows.

    `labels`: [rows], NaN where not observed; `predictions`: [rows], or [rows, classes] where there are classes.
    """
    observed = ~np.isnan(labels)
    labels, predictions = labels[observed].astype(np.float64), predictions[observed].astype(np.float64)
    kind = KINDS[task.kind]
    counted, fewest, rows = len(labels), FEWEST_ROWS, f"{len(labels):,} validation rows"
    if kind.is_event:
        counted, fewest = rarer_class(labels), FEWEST_OF_EACH_CLASS
        rows += f", {counted:,} of the rarer class"
    if counted < fewest:
        return Calibrator("none", f"{rows}, fewer than {fewest}")
    if kind.is_standardised and task.loss_name != "squared_error":
        return Calibrator("none", f"{task.loss_name} asks for no mean, which a line would be fitted to")
    many = len(labels) >= ISOTONIC_ROWS and counted >= ISOTONIC_OF_EACH_CLASS
    halves = np.array_split(np.arange(len(labels)), 2)

    def losses(corrections: Sequence[Calibrator]) -> np.ndarray:
        """Of all rows, where each half is corrected by its own."""
        by_half = []
        for half, correction in zip(halves, corrections, strict=True):
            by_metric = kind.compared_losses(labels[half], correction.apply(predictions[half]))
            by_half.append(by_metric.get("log_loss", by_metric[kind.learned]))
        return np.concatenate(by_half)

    def held_out_gains(fit: Fit) -> np.ndarray:
        return before - losses([fit(labels[half], predictions[half]) for half in reversed(halves)])

    before = losses([Calibrator("none")] * 2)
    fits = [FITS[method] for method in (kind.calibrations if many else kind.calibrations[:1])]
    gains, fit = max(((held_out_gains(fit), fit) for fit in fits), key=lambda pair: pair[0].mean())
    calibrator = fit(labels, predictions)
    if calibrator.slope <= 0:
        return Calibrator("none", f"the predictions do not rise with the labels of {rows}")
    share = gains.mean() / before.mean() if before.any() else 0.0
    outcome = f"fitted on either half of {rows}, it changes the loss on the other half by {-share:+.2%}"
    must_be_clear = calibrator.method == "line"
    clear = share > USEFUL_GAIN and gains.mean() > 2 * gains.std() / np.sqrt(len(gains))
    if clear if must_be_clear else share > 0:
        return replace(calibrator, reason=outcome)
    clearly = "clearly " if must_be_clear else ""
    return Calibrator("none", f"{calibrator.method} does not {clearly}help: {outcome}")


def rarer_class(labels: np.ndarray) -> int:
    """How many of the labels 0 and 1 are the rarer one."""
    return int(min(labels.sum(), (1 - labels).sum()))


def fit_platt(labels: np.ndarray, probabilities: np.ndarray) -> Calibrator:
    """scikit-learn's penalty on the slope (C = 1) keeps it finite where a few rows are separated perfectly."""
    odds = log_odds(probabilities)
    if labels.min() == labels.max():  # half of the rows may have one class, where a label starts late
        share = (labels.sum() + 1) / (len(labels) + 2)
        return Calibrator("platt", slope=SMALLEST_SLOPE, intercept=float(logit(share)))
    model = LogisticRegression(tol=1e-8).fit(odds[:, None], labels)
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope < SMALLEST_SLOPE:
        slope, intercept = SMALLEST_SLOPE, float(logit(labels.mean()) - SMALLEST_SLOPE * odds.mean())
    return Calibrator("platt", slope=slope, intercept=intercept)


def fit_isotonic(labels: np.ndarray, probabilities: np.ndarray) -> Calibrator:
    """Isotonic regression of bins; its steps become points joined by lines, in log odds (centred as by Oron and
    Flournoy 2017, https://arxiv.org/abs/1701.05964). Platt scaling where there is no step, as for a constant."""
    bins = int(np.clip(rarer_class(labels) // RARER_ROWS_PER_BIN, 1, MOST_BINS))
    edges = np.unique(np.quantile(probabilities, np.linspace(0, 1, bins + 1)[1:-1]))
    bin_of_row = np.unique(np.searchsorted(edges, probabilities), return_inverse=True)[1]
    rows = np.bincount(bin_of_row)
    # An extra row with the mean share keeps a bin without positives from being certain.
    shares = (np.bincount(bin_of_row, weights=labels) + labels.mean()) / (rows + 1)
    steps = IsotonicRegression().fit_transform(np.arange(len(rows)), shares, sample_weight=rows)
    levels, step_of_row = np.unique(steps[bin_of_row], return_inverse=True)
    if len(levels) == 1:
        return fit_platt(labels, probabilities)
    means = np.bincount(step_of_row, weights=probabilities) / np.bincount(step_of_row)
    knots = zip(log_odds(means).tolist(), log_odds(levels).tolist(), strict=True)
    return Calibrator("isotonic", knots=tuple(knots))


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> Calibrator:
    """`labels`: [rows], the index of the class that occurred."""
    scores = log_probabilities(probabilities)
    rows, classes = np.arange(len(labels)), labels.astype(np.int64)
    possible = np.isfinite(scores[rows, classes])  # nothing helps a class that was called impossible

    def loss(log_slope: float) -> float:
        return -float(log_softmax(np.exp(log_slope) * scores, axis=1)[rows, classes][possible].sum())

    best = minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded")
    return Calibrator("temperature", slope=float(np.exp(best.x)))


def fit_line(labels: np.ndarray, predictions: np.ndarray) -> Calibrator:
    """For constant predictions, the shift to the labels' mean."""
    if np.ptp(predictions) == 0:
        return Calibrator("line", intercept=float(labels.mean() - predictions[0]))
    slope, intercept = np.polyfit(predictions, labels, 1)
    return Calibrator("line", slope=float(slope), intercept=float(intercept))


def fit_factor(labels: np.ndarray, predictions: np.ndarray) -> Calibrator:
    """The factor that makes the mean expected count the mean count: the Poisson deviance is lowest there."""
    total = predictions.sum()
    return Calibrator("line", slope=float(labels.sum() / total) if total > 0 else 1.0)


FITS: dict[str, Fit] = {
    "platt": fit_platt,
    "isotonic": fit_isotonic,
    "temperature": fit_temperature,
    "line": fit_line,
    "factor": fit_factor,
}
"""By the method's name in `TaskKind.calibrations`."""
