"""The specification of a pipeline: what `defs.yaml` may say, and what it means.

Plain pydantic, so that every floor of the project can read it. Wrong keys, values and combinations
are refused here, before anything runs.
"""

from mtl_pipeline.spec.architectures import (
    LinearSettings,
    MMoESettings,
    Model,
    PLESettings,
    SharedBottomSettings,
    TaskExpertsSettings,
)
from mtl_pipeline.spec.base import (
    CHOSEN_FROM,
    CHOSEN_TO,
    KNOWN_AT,
    LAST_TIMESTAMP,
    NAME_PATTERN,
    RESERVED_COLUMNS,
    RESERVED_TASKS,
    SpecError,
    entire_space_name,
)
from mtl_pipeline.spec.features import ColumnFeatures, HistoryFeature, Sequence
from mtl_pipeline.spec.learning import Baselines, Training
from mtl_pipeline.spec.pipeline import PipelineSpec
from mtl_pipeline.spec.quick import as_asked
from mtl_pipeline.spec.recommendations import Recommendations
from mtl_pipeline.spec.sections import (
    Backtest,
    Encoder,
    ImageEncoder,
    Negatives,
    Pretrained,
    RawFiles,
    Split,
    Warehouse,
)
from mtl_pipeline.spec.tasks import BAD_WORDS, Task
from mtl_pipeline.spec.tuning import LogRange, Tuning
from mtl_pipeline.spec.weighting import WeightingSettings
