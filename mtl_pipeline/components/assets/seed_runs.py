"""Seed runs: the networks with further seeds, for a comparison that no single seed decides."""

import dagster as dg
from pydantic import Field

from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.metadata import published, summary_metadata
from mtl_pipeline.spec.assets import (
    SEEDS_OF_A_STUDY,
    code_version,
    runs_seeds_nightly,
    training_settings,
    usual_seeds,
)


class SeedRunsConfig(dg.Config):
    seeds: int | None = Field(
        default=None,
        ge=1,
        description="Seeds to compare over; by default evaluation.seeds of defs.yaml where that is above 1, else "
        f"{SEEDS_OF_A_STUDY}.",
    )


def seed_runs_asset(pipeline: PipelineContext) -> dg.AssetsDefinition:
    paths, spec = pipeline.paths, pipeline.spec

    @pipeline.asset(
        reads=["model", "baselines", "examples", *pipeline.embeddings],
        study=not runs_seeds_nightly(spec),
        kinds={"pytorch", "parquet"},
        trains=True,
        code_version=code_version(settings=training_settings(spec) | {"seeds": usual_seeds(spec)}),
    )
    def seed_runs(context: dg.AssetExecutionContext, config: SeedRunsConfig) -> dg.MaterializeResult:
        """Predictions of the networks trained with further seeds: for all tasks, for one task alone and, with each
        seed, for all tasks without text vectors. The evaluation compares over them."""
        from mtl_pipeline.workflows.seed_runs import run_seeds

        summary = run_seeds(paths, spec, seeds=config.seeds, log=context.log.info)
        seeds = ", ".join(map(str, summary.seeds))
        metadata = {"seeds": seeds} | summary_metadata(summary)
        in_short = f"{summary.networks} networks, seeds {seeds}"
        return published(summary.fingerprint, paths.seed_runs, metadata, in_short=in_short)

    return seed_runs
