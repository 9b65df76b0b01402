"""Simulated logs of a shop, a social feed and a news site, whose true probabilities are known."""

from mtl_pipeline.simulation.simulate import SCENARIOS, SimulationSummary, read_summary, simulate

__all__ = ["SCENARIOS", "SimulationSummary", "read_summary", "simulate"]
