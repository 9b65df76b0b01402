"""The balancing methods by the name that `training.weighting` has for them: one line each."""

from mtl_pipeline.learning.balancing.base import Balancer
from mtl_pipeline.learning.balancing.static import StaticWeighting
from mtl_pipeline.learning.balancing.uncertainty import UncertaintyWeighting

BALANCERS: dict[str, type[Balancer]] = {
    "static": StaticWeighting,
    "uncertainty": UncertaintyWeighting,
}
