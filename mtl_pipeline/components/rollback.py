"""Rollback: an earlier champion recommends again, by one launch from the UI or the command line."""

import dagster as dg

from mtl_pipeline.champions import roll_back, short
from mtl_pipeline.components.context import PipelineContext, clear_failures


class RollbackConfig(dg.Config):
    to: str = ""
    """How the fingerprint of the champion to go back to begins; by default the one before."""


def rollback_job(pipeline: PipelineContext) -> dg.JobDefinition:
    """Changes the champion first, which cannot fail halfway; then makes the recommendations again, as a run of
    their own with its checks."""
    from mtl_pipeline.components.pipeline import define_pipeline

    @dg.op(name=f"{pipeline.name}__roll_back", description="Make an earlier champion the champion again.")
    def rolled_back(context: dg.OpExecutionContext, config: RollbackConfig) -> None:
        with clear_failures():
            entry = roll_back(pipeline.paths, config.to or None)
        context.log.info(entry.reasons[0])
        if not pipeline.spec.recommends:
            return
        job = define_pipeline(pipeline.name, pipeline.spec).resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(
            instance=context.instance, asset_selection=[pipeline.key("recommendations")], raise_on_error=False
        )
        if not result.success:
            raise dg.Failure(
                f"{short(entry.champion or '')} is the champion again, but its recommendations could not be made: "
                f"see run {result.run_id}, and materialize recommendations",
                allow_retries=False,
            )

    @dg.job(
        name=f"{pipeline.name}_rollback",
        description="Makes the champion before, or the one named by `to`, the champion again, and its "
        "recommendations.",
    )
    def rollback() -> None:
        rolled_back()

    return rollback
