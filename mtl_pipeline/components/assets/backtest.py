"""The backtest: model and baselines in several test windows instead of one. It runs only when asked to."""

import dagster as dg
from pydantic import Field

from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.metadata import published, report_metadata
from mtl_pipeline.spec.assets import backtest_version


class BacktestConfig(dg.Config):
    windows: int | None = Field(
        default=None,
        ge=2,
        description="Test windows or folds; by default evaluation.backtest.windows of defs.yaml.",
    )


def backtest_asset(pipeline: PipelineContext) -> dg.AssetsDefinition:
    paths, spec = pipeline.paths, pipeline.spec

    @pipeline.asset(
        reads=["examples", *pipeline.embeddings],
        study=True,
        kinds={"pytorch", "scikitlearn", "html"},
        trains=True,
        code_version=backtest_version(paths, spec, spec.evaluation.backtest),
    )
    def backtest(context: dg.AssetExecutionContext, config: BacktestConfig) -> dg.MaterializeResult:
        """Model and baselines, trained and tested again in several windows of time, or folds: does what the evaluation
        says about one test split hold in others? Resumes where it was stopped. Not part of the nightly run."""
        from mtl_pipeline.workflows.backtest import run_backtest

        result = run_backtest(paths, spec, windows=config.windows, log=context.log.info)
        metadata = {
            **report_metadata(paths.backtest),
            "windows": result.windows.height,
            "windows of earlier runs": result.resumed,
            **result.numbers,
        }
        version = str(result.scores.metrics.hash_rows(seed=0).sum())
        return published(
            version,
            paths.backtest,
            metadata,
            in_short=f"{result.windows.height} windows; {paths.backtest}/report.html",
        )

    return backtest
