"""The kinds of task, each in one file: loss, link, metrics, calibration, promotion margin, baselines."""

from mtl_pipeline.kinds.base import Measured, TaskKind
from mtl_pipeline.kinds.binary import Binary
from mtl_pipeline.kinds.count import Count
from mtl_pipeline.kinds.multiclass import Multiclass
from mtl_pipeline.kinds.ordinal import Ordinal
from mtl_pipeline.kinds.regression import Regression

KINDS: dict[str, TaskKind] = {
    kind.name: kind for kind in (Binary(), Regression(), Count(), Multiclass(), Ordinal())
}

__all__ = ["KINDS", "Measured", "TaskKind"]
