"""Tuning: the search for settings of model and training with a lower validation score. It runs when asked to."""

import dagster as dg
from pydantic import Field

from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.spec.assets import code_version, training_settings


class TuningConfig(dg.Config):
    trials: int | None = Field(
        default=None, ge=1, description="Trials for each architecture; by default tuning.trials of defs.yaml."
    )


def tuning_asset(pipeline: PipelineContext) -> dg.AssetsDefinition:
    paths, spec = pipeline.paths, pipeline.spec

    @pipeline.asset(
        reads=["examples", *pipeline.embeddings],
        group=pipeline.studies_group,
        kinds={"optuna", "pytorch", "html"},
        trains=True,
        code_version=code_version(settings=training_settings(spec) | {"tuning": spec.tuning}),
    )
    def tuning(context: dg.AssetExecutionContext, config: TuningConfig) -> dg.MaterializeResult:
        """A search for better settings, with equally many trials for each architecture, judged on validation rows.
        It goes on where a search of the same examples and settings was stopped. No part of the nightly run."""
        from mtl_pipeline.workflows.tune import tune_settings

        done = tune_settings(paths, spec, trials=config.trials, log=context.log.info)
        search = done.search
        return dg.MaterializeResult(
            data_version=dg.DataVersion(f"{search.fingerprint}-{len(search.trials)}"),
            metadata={
                "report": dg.MetadataValue.md(done.markdown),
                "best settings": dg.MetadataValue.md(f"```yaml\n{search.best}```"),
                "page": dg.MetadataValue.path(paths.tuning / "report.html"),
                "dagster/uri": dg.MetadataValue.path(paths.tuning),
                "trials": len(search.trials),
                "trials of earlier runs": search.resumed,
                "search": search.fingerprint,
                **done.numbers,
            },
        )

    return tuning
