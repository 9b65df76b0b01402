"""The evaluation: every model on the same untouched test rows, as a report and as numbers."""

import dagster as dg

from mtl_pipeline.champions import short
from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.spec.assets import code_version


def evaluation_asset(pipeline: PipelineContext) -> dg.AssetsDefinition:
    paths, spec = pipeline.paths, pipeline.spec
    reads = ["model", "baselines", "examples", *pipeline.embeddings, "seed_runs"]
    settings = {
        "tasks": spec.tasks,
        "evaluation": spec.evaluation,
        "promotion": spec.promotion,
        "seed": spec.seed,
    }

    @pipeline.asset(reads=reads, kinds={"scikitlearn", "html"}, code_version=code_version(settings=settings))
    def evaluation(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Metrics of every model on the test split, with the thresholds that validation chose."""
        from mtl_pipeline.workflows.evaluate import evaluate_models

        versions = data_versions(context, pipeline, reads)
        done = evaluate_models(paths, spec, versions, log=context.log.info)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(done.fingerprint),
            metadata={
                **{name: dg.MetadataValue.md(text) for name, text in done.texts.items()},
                "promotion": done.decision.verdict,
                **({"beware": " ".join(done.caveats)} if done.caveats else {}),
                "champion before": done.decision.champion or "none",
                "page": dg.MetadataValue.path(paths.evaluation / "report.html"),
                "dagster/uri": dg.MetadataValue.path(paths.evaluation),
                **done.numbers,
            },
        )

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
