"""The validation and test rows: every compared model predicts them and is calibrated in the same way."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mtl_pipeline.learning.calibration.calibrator import Calibrator
from mtl_pipeline.learning.calibration.fitting import fit_calibration
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.spec import PipelineSpec


class HeldOut:
    """The rows of a dataset that no model is fitted on."""

    def __init__(self, dataset: Dataset, spec: PipelineSpec) -> None:
        self.spec = spec
        self.frame = dataset.split("validation", "test")
        self.rows = dataset.encode(self.frame)
        self.validation = (self.frame["split"] == "validation").to_numpy()
        self.validation_labels = dataset.validation_labels

    def calibration(self, predictions: Mapping[str, np.ndarray]) -> dict[str, Calibrator]:
        """By task, fitted on the validation rows; `predictions` are those of all rows."""
        on_validation = {task: values[self.validation] for task, values in predictions.items()}
        return fit_calibration(self.spec, self.validation_labels, on_validation)
