"""Tuning: the search for settings of model and training with a lower validation score, and the page about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from mtl_pipeline.evaluation.report.html import to_html
from mtl_pipeline.evaluation.report.markdown import to_markdown
from mtl_pipeline.evaluation.report.tuning import TuningResult, tuning_report
from mtl_pipeline.learning.training.tuning import Search, one_at_a_time, tune
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import publish_folder
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.workflows.log import Log


@dataclass(frozen=True)
class Tuned:
    """What was published."""

    search: Search
    numbers: dict[str, float]
    markdown: str


def tune_settings(
    paths: PipelinePaths, spec: PipelineSpec, *, trials: int | None = None, log: Log = print
) -> Tuned:
    """Make what is missing of `trials` trials for each architecture, by default those of defs.yaml.

    Raises UserError while another search is at work, and where there is nothing to search.
    """
    with one_at_a_time(paths.tuning_study):
        search = tune(paths, spec, trials=trials or spec.tuning.trials, log=log)
        result = tuning_result(paths.pipeline, spec, search)
        report = tuning_report(result)
        markdown = to_markdown(report.sections)
        with publish_folder(paths.tuning) as folder:
            search.trials.write_parquet(folder / "trials.parquet")
            (folder / "best.yaml").write_text(search.best, encoding="utf-8")
            (folder / "report.html").write_text(to_html(report), encoding="utf-8")
            (folder / "report.md").write_text(markdown, encoding="utf-8")
    log(f"report: {paths.tuning / 'report.html'}")
    return Tuned(search, result.numbers, markdown)


def tuning_result(pipeline: str, spec: PipelineSpec, search: Search) -> TuningResult:
    return TuningResult(
        pipeline=pipeline,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        trials=search.trials,
        importance=search.importance,
        studies=search.studies,
        limit=f"{spec.training.epochs} epochs, with a patience of {spec.training.patience} rounds",
        best=search.best,
        fingerprint=search.fingerprint,
        seed=spec.seed,
    )
