"""The architectures by the name that `model.architecture` has for them: one line each."""

from mtl_pipeline.learning.architectures.aitm import AITM
from mtl_pipeline.learning.architectures.base import Architecture
from mtl_pipeline.learning.architectures.esmm import ESMM
from mtl_pipeline.learning.architectures.linear import Linear
from mtl_pipeline.learning.architectures.mmoe import MMoE
from mtl_pipeline.learning.architectures.pepnet import PEPNet
from mtl_pipeline.learning.architectures.ple import PLE
from mtl_pipeline.learning.architectures.shared_bottom import SharedBottom
from mtl_pipeline.learning.architectures.stem import STEM

ARCHITECTURES: dict[str, type[Architecture]] = {
    "linear": Linear,
    "shared_bottom": SharedBottom,
    "mmoe": MMoE,
    "ple": PLE,
    "esmm": ESMM,
    "aitm": AITM,
    "pepnet": PEPNet,
    "stem": STEM,
}
