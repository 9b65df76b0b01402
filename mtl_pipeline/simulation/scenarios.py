"""The scenarios by name."""

from __future__ import annotations

from mtl_pipeline.simulation.news import News
from mtl_pipeline.simulation.scenario import Scenario
from mtl_pipeline.simulation.shop import Shop
from mtl_pipeline.simulation.social import Social

SCENARIOS: dict[str, type[Scenario]] = {"shop": Shop, "social": Social, "news": News}
