"""Tuning: the search for settings of model and training with a lower validation score. It runs only when asked to."""

import dagster as dg
from pydantic import Field

from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.metadata import published, report_metadata
from mtl_pipeline.spec.assets import code_version, training_settings


class TuningConfig(dg.Config):
    trials: int | None = Field(
        default=None, ge=1, description="Trials for each architecture; by default tuning.trials of defs.yaml."
    )


def tuning_asset(pipeline: PipelineContext) -> dg.AssetsDefinition:
    paths, spec = pipeline.paths, pipeline.spec

    @pipeline.asset(
        reads=["examples", *pipeline.embeddings],
        study=True,
        kinds={"optuna", "pytorch", "html"},
        trains=True,
        code_version=code_version(settings=training_settings(spec) | {"tuning": spec.tuning}),
    )
    def tuning(context: dg.AssetExecutionContext, config: TuningConfig) -> dg.MaterializeResult:
        """A search for better settings, with the same number of trials for each architecture, judged on validation
        rows. Resumes a stopped search of the same examples and settings. Not part of the nightly run."""
        from mtl_pipeline.workflows.tune import tune_settings

        search, numbers = tune_settings(paths, spec, trials=config.trials, log=context.log.info)
        metadata = {
            **report_metadata(paths.tuning),
            "best settings": dg.MetadataValue.md(f"```yaml\n{search.best}```"),
            "trials": len(search.trials),
            "trials of earlier runs": search.resumed,
            "search": search.fingerprint,
            **numbers,
        }
        in_short = f"{len(search.trials)} trials; {paths.tuning}/report.html"
        version = f"{search.fingerprint}-{len(search.trials)}"
        return published(version, paths.tuning, metadata, in_short=in_short)

    return tuning
