"""The architectures by the name that `model.architecture` has for them: one line each."""

from mtl_pipeline.learning.architectures.base import Architecture
from mtl_pipeline.learning.architectures.mmoe import MMoE
from mtl_pipeline.learning.architectures.ple import PLE
from mtl_pipeline.learning.architectures.shared_bottom import SharedBottom

ARCHITECTURES: dict[str, type[Architecture]] = {
    "shared_bottom": SharedBottom,
    "mmoe": MMoE,
    "ple": PLE,
}
