"""A correction of predictions, saved with a model and applied to everything that it predicts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ConfigDict, TypeAdapter
from scipy.special import expit, logit, softmax

from mtl_pipeline.champions import reading_model
from mtl_pipeline.errors import UserError, in_short

SMALLEST, LARGEST = 1e-30, 1 - 2**-53
"""Probabilities are kept between these, where log odds are finite."""

FILE = "calibration.json"


@dataclass(frozen=True)
class Calibrator:
    """A correction of one task's predictions. All of them rise strictly, so that rows keep their order.

    platt        sigmoid of slope · log odds + intercept
    isotonic     sigmoid of the lines through `knots`
    temperature  softmax of slope · log probabilities: slope is 1 / temperature
    line         slope · value + intercept
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    method: Literal["platt", "isotonic", "temperature", "line", "none"]
    reason: str = ""
    """Why this method, in words."""
    slope: float = 1.0
    intercept: float = 0.0
    knots: tuple[tuple[float, float], ...] = ()
    """Log odds before and after, rising."""

    def __str__(self) -> str:
        return f"{self.method}: {self.reason}"

    @property
    def changes(self) -> bool:
        return self.method != "none"

    def apply(self, predictions: np.ndarray) -> np.ndarray:
        """Predictions shaped as those of Ranker.predict; float64 of the same shape where anything changes."""
        match self.method:
            case "platt":
                return expit(self.slope * log_odds(predictions) + self.intercept)
            case "isotonic":
                return expit(interpolate(log_odds(predictions), np.array(self.knots)))
            case "temperature":
                return softmax(self.slope * log_probabilities(predictions), axis=1)
            case "line":
                return self.slope * predictions.astype(np.float64) + self.intercept
        return predictions


def calibrate(
    predictions: Mapping[str, np.ndarray], calibration: Mapping[str, Calibrator]
) -> dict[str, np.ndarray]:
    """Predictions by task, corrected where there is a calibrator."""
    return {
        task: calibration[task].apply(values) if task in calibration else values
        for task, values in predictions.items()
    }


def interpolate(values: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Along the lines between the knots [knots, 2]; beyond the ends, at the slope from the first to the last."""
    before, after = knots.T
    slope = (after[-1] - after[0]) / (before[-1] - before[0])
    return np.interp(values, before, after) + slope * (values - np.clip(values, before[0], before[-1]))


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    return logit(np.clip(probabilities.astype(np.float64), SMALLEST, LARGEST))


def log_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Of a probability of 0: −inf, it stays impossible."""
    with np.errstate(divide="ignore"):
        return np.log(probabilities.astype(np.float64))


CALIBRATION = TypeAdapter(dict[str, Calibrator])
"""By task: what calibration.json holds."""


def save_calibration(folder: Path, calibration: Mapping[str, Calibrator]) -> None:
    values = {task: asdict(calibrator) for task, calibrator in calibration.items()}
    (folder / FILE).write_text(json.dumps(values, indent=1, allow_nan=False) + "\n")


def load_calibration(folder: Path) -> dict[str, Calibrator]:
    """That of the verified model in a folder. Raises UserError unless it has a calibration.json that can be read."""
    try:
        with reading_model(folder) as version:
            return CALIBRATION.validate_json((version / FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder} holds no {FILE} that can be read: materialize model again ({in_short(error)})"
        ) from error
