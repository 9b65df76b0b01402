"""The evaluation: every model on the same untouched test rows, as a report and as numbers."""

import dagster as dg

from mtl_pipeline.champions import short
from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.metadata import published
from mtl_pipeline.spec.assets import code_version


def evaluation_asset(pipeline: PipelineContext) -> dg.AssetsDefinition:
    paths, spec = pipeline.paths, pipeline.spec
    reads = ["model", "baselines", "examples", *pipeline.embeddings, "seed_runs"]
    settings = {name: getattr(spec, name) for name in ("tasks", "evaluation", "promotion", "seed")}

    @pipeline.asset(reads=reads, kinds={"scikitlearn", "html"}, code_version=code_version(settings=settings))
    def evaluation(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Metrics of every model on the test split, with the thresholds that validation chose."""
        from mtl_pipeline.workflows.evaluate import evaluate_models

        evaluated = evaluate_models(
            paths, spec, data_versions(context, pipeline, reads), log=context.log.info
        )
        metadata = {
            **{title: dg.MetadataValue.md(text) for title, text in evaluated.texts.items()},
            "promotion": evaluated.decision.verdict,
            **({"beware": " ".join(evaluated.caveats)} if evaluated.caveats else {}),
            "champion before": evaluated.decision.champion or "none",
            "page": dg.MetadataValue.path(paths.evaluation / "report.html"),
            **evaluated.numbers,
        }
        return published(evaluated.fingerprint, paths.evaluation, metadata)

    return evaluation


def data_versions(
    context: dg.AssetExecutionContext, pipeline: PipelineContext, assets: list[str]
) -> dict[str, str]:
    """The data version of each asset that was materialized."""
    versions = {}
    for asset in assets:
        event = context.instance.get_latest_materialization_event(pipeline.key(asset))
        if event and event.asset_materialization and event.asset_materialization.tags:
            versions[asset] = short(event.asset_materialization.tags.get("dagster/data_version", ""))
    return versions
