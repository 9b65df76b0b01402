"""What the model has to beat."""

import dagster as dg

from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.metadata import published, summary_metadata
from mtl_pipeline.spec.assets import code_version, network_settings


def baselines_asset(pipeline: PipelineContext) -> dg.AssetsDefinition:
    paths, spec = pipeline.paths, pipeline.spec

    @pipeline.asset(
        reads=["examples", *pipeline.embeddings, *(["model"] if spec.guards else [])],
        kinds={"lightgbm", "pytorch", "parquet"},
        trains=True,
        code_version=code_version(settings=network_settings(spec)),
    )
    def baselines(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Predictions of simpler models for the validation and test rows: constant, popularity, linear,
        boosted trees (on the same features) and one network of the same size per task."""
        from mtl_pipeline.learning.baselines.predict import predict_baselines

        summary = predict_baselines(paths, spec, target=paths.baselines, log=context.log.info)
        models, tasks = ", ".join(summary.seconds_by_model), len(spec.tasks)
        in_short = f"{models}, for each of {tasks} tasks"
        return published(summary.fingerprint, paths.baselines, summary_metadata(summary), in_short=in_short)

    return baselines
