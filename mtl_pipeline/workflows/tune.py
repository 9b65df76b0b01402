"""Tuning: the search for settings of model and training with a lower validation score, and the page about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from mtl_pipeline.evaluation.report.tuning_report import TuningPage, render_markdown, render_page
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
        page = report_page(paths.pipeline, spec, search)
        markdown = render_markdown(page)
        with publish_folder(paths.tuning) as folder:
            search.trials.write_parquet(folder / "trials.parquet")
            (folder / "best.yaml").write_text(search.best, encoding="utf-8")
            (folder / "report.html").write_text(render_page(page), encoding="utf-8")
            (folder / "report.md").write_text(markdown, encoding="utf-8")
    log(f"report: {paths.tuning / 'report.html'}")
    return Tuned(search, page.numbers, markdown)


def report_page(pipeline: str, spec: PipelineSpec, search: Search) -> TuningPage:
    return TuningPage(
        pipeline=pipeline,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        trials=search.trials,
        importance=search.importance,
        present_architecture=spec.model.architecture,
        limit=f"{spec.training.epochs} epochs, with a patience of {spec.training.patience} rounds",
        best=search.best,
        fingerprint=search.fingerprint,
        seed=spec.seed,
    )
