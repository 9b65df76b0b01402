"""Tuning: the search for settings of model and training with a lower validation score, and the page about it."""

from __future__ import annotations

from datetime import UTC, datetime

from mtl_pipeline.evaluation.report.html import to_html
from mtl_pipeline.evaluation.report.markdown import to_markdown
from mtl_pipeline.evaluation.report.tuning import TuningResult, tuning_report
from mtl_pipeline.learning.tuning.search import Search, one_at_a_time, tune
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import publish_folder
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.spec.quick import refuse_quick
from mtl_pipeline.workflows.log import Log


def tune_settings(
    paths: PipelinePaths, spec: PipelineSpec, *, trials: int | None = None, log: Log = print
) -> tuple[Search, dict[str, float]]:
    """Make what is missing of `trials` trials for each architecture, by default those of defs.yaml. Returns the search
    and, by name, the scores to follow over runs.

    Raises UserError while another search is running, and where there is nothing to search.
    """
    refuse_quick(spec)
    with one_at_a_time(paths.tuning_study):
        search = tune(paths, spec, trials=trials or spec.tuning.trials, log=log)
        result = TuningResult(
            pipeline=paths.pipeline,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            trials=search.trials,
            importance=search.importance,
            studies=search.studies,
            limit=f"{spec.training.epochs} epochs, with a patience of {spec.training.patience} rounds",
            best=search.best,
            fingerprint=search.fingerprint,
            seed=spec.seed,
        )
        report = tuning_report(result)
        with publish_folder(paths.tuning) as folder:
            search.trials.write_parquet(folder / "trials.parquet")
            (folder / "best.yaml").write_text(search.best, encoding="utf-8")
            (folder / "report.html").write_text(to_html(report), encoding="utf-8")
            (folder / "report.md").write_text(to_markdown(report.sections), encoding="utf-8")
    log(f"report: {paths.tuning / 'report.html'}")
    return search, result.numbers
