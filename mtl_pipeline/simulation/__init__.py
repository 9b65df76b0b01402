"""Simulated logs of a shop, a social feed and a news site, whose true probabilities are known."""

from mtl_pipeline.simulation.simulate import SimulationSummary, simulate
from mtl_pipeline.simulation.scenarios import SCENARIOS

__all__ = ["SCENARIOS", "SimulationSummary", "simulate"]
