"""The model: a multi-task ranker, trained on the examples and the text vectors."""

import dagster as dg
import polars as pl

from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.metadata import markdown_table, published, summary_metadata
from mtl_pipeline.publishing import reading
from mtl_pipeline.spec.assets import code_version, training_settings


def model_asset(pipeline: PipelineContext) -> dg.AssetsDefinition:
    paths, spec = pipeline.paths, pipeline.spec

    @pipeline.asset(
        reads=["examples", *pipeline.embeddings],
        kinds={"pytorch"},
        trains=True,
        code_version=code_version(settings=training_settings(spec)),
    )
    def model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """One network for all tasks, and those of single tasks that validation rows favour: weights (safetensors),
        configuration, vocabulary and training log."""
        from mtl_pipeline.workflows.train import train_model

        summary = train_model(paths, spec, target=paths.model, log=context.log.info)
        with reading(paths.model) as folder:
            log = markdown_table(pl.read_json(folder / "training_log.json"))
        metadata = summary_metadata(summary) | {"training log": log}
        in_short = (
            f"{summary.rows:,} rows, best at epoch {summary.best_epoch:g}, where its loss on validation rows is "
            f"{summary.best_validation_score:.3f} of that of a constant answer"
        )
        return published(summary.fingerprint, paths.model, metadata, in_short=in_short)

    return model
