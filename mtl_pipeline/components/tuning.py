"""Tuning: the search for settings of model and training with a lower validation score. It runs when asked to."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from mtl_pipeline.components.checks import asset_checks
from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.model import training_settings
from mtl_pipeline.publishing import publish_folder
from mtl_pipeline.warehouse.checks import tuning_checks

if TYPE_CHECKING:
    from mtl_pipeline.evaluation.report.tuning_report import TuningPage
    from mtl_pipeline.learning.training.tuning import Search


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
        code_version=pipeline.code_version(settings=training_settings(spec) | {"tuning": spec.tuning}),
    )
    def tuning(context: dg.AssetExecutionContext, config: TuningConfig) -> dg.MaterializeResult:
        """A search for better settings, with equally many trials for each architecture, judged on validation rows.
        It goes on where a search of the same examples and settings was stopped. No part of the nightly run."""
        from mtl_pipeline.evaluation.report.tuning_report import render_markdown, render_page
        from mtl_pipeline.learning.training.tuning import one_at_a_time, tune

        with one_at_a_time(paths.tuning_study):
            search = tune(paths, spec, trials=config.trials or spec.tuning.trials, log=context.log.info)
            page = report_page(pipeline, search)
            with publish_folder(paths.tuning) as folder:
                search.trials.write_parquet(folder / "trials.parquet")
                (folder / "best.yaml").write_text(search.best, encoding="utf-8")
                (folder / "report.html").write_text(render_page(page), encoding="utf-8")
                (folder / "report.md").write_text(render_markdown(page), encoding="utf-8")
        context.log.info(f"report: {paths.tuning / 'report.html'}")
        return dg.MaterializeResult(
            data_version=dg.DataVersion(f"{search.fingerprint}-{len(search.trials)}"),
            metadata={
                "report": dg.MetadataValue.md(render_markdown(page)),
                "best settings": dg.MetadataValue.md(f"```yaml\n{search.best}```"),
                "page": dg.MetadataValue.path(paths.tuning / "report.html"),
                "dagster/uri": dg.MetadataValue.path(paths.tuning),
                "trials": len(search.trials),
                "trials of earlier runs": search.resumed,
                "search": search.fingerprint,
                **page.numbers,
            },
        )

    return tuning


def report_page(pipeline: PipelineContext, search: "Search") -> "TuningPage":
    from mtl_pipeline.evaluation.report.tuning_report import TuningPage

    training = pipeline.spec.training
    return TuningPage(
        pipeline=pipeline.name,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        trials=search.trials,
        importance=search.importance,
        present_architecture=pipeline.spec.model.architecture,
        limit=f"{training.epochs} epochs, with a patience of {training.patience} rounds",
        best=search.best,
        fingerprint=search.fingerprint,
        seed=pipeline.spec.seed,
    )


def tuning_asset_checks(pipeline: PipelineContext) -> dg.AssetChecksDefinition:
    return asset_checks(pipeline, "tuning", tuning_checks(pipeline.paths, pipeline.spec))
