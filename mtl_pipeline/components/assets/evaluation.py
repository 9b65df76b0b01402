"""The evaluation: every model on the same untouched test rows, as a report and as numbers."""

import dagster as dg

from mtl_pipeline.champions import short
from mtl_pipeline.components.context import PipelineContext, latest_materialization
from mtl_pipeline.components.metadata import published
from mtl_pipeline.spec.assets import code_version, parts


def evaluation_asset(pipeline: PipelineContext) -> dg.AssetsDefinition:
    paths, spec = pipeline.paths, pipeline.spec
    reads = ["model", "baselines", "examples", *pipeline.embeddings, "seed_runs"]
    settings = parts(spec, "tasks", "evaluation", "promotion", "seed", "is_quick")

    @pipeline.asset(reads=reads, kinds={"scikitlearn", "html"}, code_version=code_version(settings=settings))
    def evaluation(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Metrics of every model on the test split, with the thresholds that validation chose."""
        from mtl_pipeline.workflows.evaluate import evaluate_models

        latest = {asset: latest_materialization(context.instance, pipeline.key(asset)) for asset in reads}
        versions = {
            asset: short(made.tags.get("dagster/data_version", ""))
            for asset, made in latest.items()
            if made and made.tags
        }
        evaluated = evaluate_models(paths, spec, versions, log=context.log.info)
        metadata = {
            **{title: dg.MetadataValue.md(text) for title, text in evaluated.texts.items()},
            "promotion": evaluated.decision.verdict,
            **({"beware": " ".join(evaluated.caveats)} if evaluated.caveats else {}),
            "champion before": evaluated.decision.champion or "none",
            "page": dg.MetadataValue.path(paths.evaluation / "report.html"),
            **evaluated.numbers,
        }
        verdict = evaluated.decision.verdict
        return published(evaluated.fingerprint, paths.evaluation, metadata, in_short=verdict)

    return evaluation
