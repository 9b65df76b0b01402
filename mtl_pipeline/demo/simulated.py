"""Simulate the raw files of a demo, unless they are there."""

from __future__ import annotations

from tqdm import tqdm

from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.simulation import SimulationSummary, read_summary, simulate

INTERACTIONS = 200_000


def simulate_once(paths: PipelinePaths, interactions: int, seed: int, *, force: bool = False) -> None:
    """Simulate the scenario that the pipeline is named after into its folder.

    Files that were simulated with the same size and seed are kept, unless `force` is set; those of
    another size or seed are replaced. Raises UserError where raw files lie that were not simulated.
    """
    present = read_summary(paths.data)
    if (
        present
        and (present.interactions, present.seed, present.dirty) == (interactions, seed, True)
        and not force
    ):
        print(f"{paths.raw}: {describe(present)} are there. Nothing to simulate; --force does it again.")
        return
    if not present and not force and any(paths.raw.glob("*.csv")):
        raise UserError(
            f"{paths.raw} holds files that this version did not simulate: move them away, "
            "or replace them with --force"
        )
    with tqdm(desc=paths.pipeline, total=interactions, unit=" rows", unit_scale=True) as bar:
        summary = simulate(
            paths.pipeline, paths.data, interactions=interactions, seed=seed, on_progress=bar.update
        )
    print(f"{paths.raw}: wrote {describe(summary)}.")


def describe(summary: SimulationSummary) -> str:
    dirty = sum(planted.rows for planted in summary.planted)
    return (
        f"{summary.users:,} users, {summary.items:,} items and {summary.interactions:,} interactions "
        f"of seed {summary.seed}, with {dirty:,} dirty rows"
    )
