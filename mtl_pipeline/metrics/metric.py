"""How a metric is named and read, and its value."""

from __future__ import annotations

import math
from dataclasses import dataclass

NO_ROWS = "no row with an observed label"


@dataclass(frozen=True)
class Metric:
    """How a metric is named, read and compared."""

    name: str
    label: str
    higher_is_better: bool
    definition: str
    ranks_models: bool = True
    """False where a good value alone says nothing: predicting everything positive has recall 1."""
    unit: str = ""


@dataclass(frozen=True)
class Score:
    """A metric's value; when it is NaN, `note` says why."""

    value: float
    note: str = ""


LOG_LOSS = Metric(
    "log_loss",
    "log-loss",
    False,
    "how surprised the probabilities are by what happened, in nats per row; 0 is perfect",
    unit="nats per row",
)
ACCURACY = Metric(
    "accuracy",
    "accuracy",
    True,
    "share of the rows predicted right: at the threshold, or of several classes the most probable",
)
RMSE = Metric(
    "rmse",
    "RMSE",
    False,
    "root of the mean squared error, in the label's units; large errors weigh more",
    unit="label units",
)
MAE = Metric("mae", "MAE", False, "mean absolute error, in the label's units")
CEILING_SHARE = Metric(
    "ceiling_share",
    "way to ceiling",
    True,
    "how far a model has come from the constant answer (0) to the ceiling, the best possible (1)",
)


def ceiling_share(model: float, constant: float, ceiling: float) -> Score:
    """The share of the way from `constant` to `ceiling` that `model` has gone, in one loss."""
    if any(map(math.isnan, (model, constant, ceiling))):
        return Score(math.nan, "a loss is undefined")
    if ceiling >= constant:
        return Score(math.nan, "on these rows the ceiling is not better than the constant answer")
    return Score((constant - model) / (constant - ceiling))


def defined_or(value: float, reason: str) -> Score:
    return Score(float(value), reason if math.isnan(value) else "")
