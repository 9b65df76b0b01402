"""The specification of a pipeline: what `defs.yaml` may say, and what it means.

Plain pydantic, so that every floor of the project can read it. Wrong keys, values and combinations
are refused here, before anything runs.
"""

from mtl_pipeline.spec.backtest import Backtest
from mtl_pipeline.spec.base import (
    ENTIRE_SPACE,
    KNOWN_AT,
    LAST_TIMESTAMP,
    NAME_PATTERN,
    RESERVED_COLUMNS,
    RESERVED_TASKS,
    Identifier,
    SpecError,
    SpecModel,
    columns_of_expression,
    entire_space_name,
    refuse_repeats,
)
from mtl_pipeline.spec.learning import MMoESettings, Model, PLESettings, SharedBottomSettings, Training
from mtl_pipeline.spec.pipeline import PipelineSpec
from mtl_pipeline.spec.sections import (
    ColumnFeatures,
    Encoder,
    EntityFeatures,
    Evaluation,
    Features,
    HistoryFeature,
    Negatives,
    Promotion,
    RawFiles,
    Recommendations,
    Schedule,
    Split,
    Task,
    Warehouse,
)
from mtl_pipeline.spec.tuning import LogRange, Range, Tuning

__all__ = [
    "ENTIRE_SPACE",
    "KNOWN_AT",
    "LAST_TIMESTAMP",
    "NAME_PATTERN",
    "RESERVED_COLUMNS",
    "RESERVED_TASKS",
    "Backtest",
    "ColumnFeatures",
    "Encoder",
    "EntityFeatures",
    "Evaluation",
    "Features",
    "HistoryFeature",
    "Identifier",
    "LogRange",
    "MMoESettings",
    "Model",
    "Negatives",
    "PLESettings",
    "PipelineSpec",
    "Promotion",
    "Range",
    "RawFiles",
    "Recommendations",
    "Schedule",
    "SharedBottomSettings",
    "SpecError",
    "SpecModel",
    "Split",
    "Task",
    "Training",
    "Tuning",
    "Warehouse",
    "columns_of_expression",
    "entire_space_name",
    "refuse_repeats",
]
