"""Simulated logs of a shop, a social feed and a news site, whose true probabilities are known."""

from mtl_pipeline.simulation.scenarios import SCENARIOS
from mtl_pipeline.simulation.simulate import PlantedRows, SimulationSummary, read_summary, simulate

__all__ = ["SCENARIOS", "PlantedRows", "SimulationSummary", "read_summary", "simulate"]
