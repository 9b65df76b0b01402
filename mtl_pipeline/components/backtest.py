"""The backtest: model and baselines in several test windows instead of one. It runs only when asked to."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl
from pydantic import Field

from mtl_pipeline.components.backtest_work import BacktestWork, open_work
from mtl_pipeline.components.checks import asset_checks
from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.examples import examples_settings
from mtl_pipeline.components.model import training_settings
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import one_version_each, publish_folder, reading
from mtl_pipeline.spec import Backtest
from mtl_pipeline.warehouse.checks import backtest_checks
from mtl_pipeline.warehouse.features.windows import PlannedWindow, build_window, plan_windows, users_tested

if TYPE_CHECKING:
    from mtl_pipeline.evaluation.studies.backtest import BacktestResult

SQL = ("window.sql", "known_label.sql", "statistics.sql")
Log = Callable[[str], Any]


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
        group=pipeline.studies_group,
        kinds={"pytorch", "scikitlearn", "html"},
        trains=True,
        code_version=backtest_version(pipeline, spec.evaluation.backtest),
    )
    def backtest(context: dg.AssetExecutionContext, config: BacktestConfig) -> dg.MaterializeResult:
        """Model and baselines trained and tested anew in several windows of time, or folds: whether what the evaluation
        says of one test split holds in others. Goes on where it was stopped. No part of the nightly run."""
        settings = spec.evaluation.backtest
        page = run_backtest(
            pipeline,
            settings.model_copy(update={"windows": config.windows or settings.windows}),
            context.log.info,
        )
        context.log.info(f"report: {paths.backtest / 'report.html'}")
        return dg.MaterializeResult(
            data_version=dg.DataVersion(str(page.scores.metrics.hash_rows(seed=0).sum())),
            metadata={
                "report": dg.MetadataValue.md((paths.backtest / "report.md").read_text(encoding="utf-8")),
                "page": dg.MetadataValue.path(paths.backtest / "report.html"),
                "dagster/uri": dg.MetadataValue.path(paths.backtest),
                "windows": page.windows.height,
                "windows of earlier runs": page.resumed,
                **page.numbers,
            },
        )

    return backtest


def backtest_version(pipeline: PipelineContext, backtest: Backtest) -> str:
    """Changes with everything that decides what a backtest makes of the same examples and text vectors."""
    spec = pipeline.spec
    return pipeline.code_version(
        sql=[pipeline.paths.common_sql / name for name in SQL],
        settings={
            "examples": examples_settings(spec),
            "training": training_settings(spec),
            "bootstrap_samples": spec.evaluation.bootstrap_samples,
            "backtest": backtest,
        },
    )


def run_backtest(pipeline: PipelineContext, backtest: Backtest, log: Log) -> "BacktestResult":
    """Every window that is not finished yet, the first one first; what takes memory is that of one window."""
    from mtl_pipeline.evaluation.studies.backtest import BacktestResult, WindowScores, pool_windows

    spec = pipeline.spec
    with open_work(pipeline, backtest_version(pipeline, backtest)) as work:
        planned = plan_windows(work.examples, pipeline.paths, spec, backtest)
        users = users_tested(work.examples, spec, planned)
        resumed = [one.window.number for one in planned if work.finished(one.window.number)]
        for one in planned:
            if one.window.number in resumed:
                log(f"window {one.window.number} of {len(planned)}: finished in an earlier run")
            else:
                make_window(pipeline, work, one, users, log)
        folders = [work.folder / f"window-{one.window.number}" for one in planned]
        scores = WindowScores.together([WindowScores.read(folder) for folder in folders])
        training = [json.loads((folder / "training.json").read_text()) for folder in folders]
        resampled = "users" if users is not None else "rows"
        page = BacktestResult(
            pipeline=pipeline.name,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            tasks=tuple(spec.tasks),
            windows=windows_frame(planned, training),
            scores=scores,
            pooled=pool_windows(scores, spec.tasks, resampled=resampled),
            training=backtest.training,
            hash_by=spec.split.hash_by or (),
            bootstrap_samples=spec.evaluation.bootstrap_samples,
            seed=spec.seed,
            resampled=resampled,
            fingerprint=work.fingerprint,
            resumed=len(resumed),
        )
        publish_backtest(pipeline, page)
    return page


def make_window(
    pipeline: PipelineContext, work: BacktestWork, planned: PlannedWindow, users: pl.Series | None, log: Log
) -> None:
    """Train on one window's own rows, score its test rows, and keep the scores in the work folder."""
    from mtl_pipeline.evaluation.studies.backtest import score_window
    from mtl_pipeline.learning.baselines.predict import predict_baselines
    from mtl_pipeline.learning.training.train import train_ranker

    spec, window = pipeline.spec, planned.window
    name = f"window {window.number} of {window.windows}"
    rows = ", ".join(f"{part.rows:,} rows for {split}" for split, part in planned.parts.items())
    log(f"{name}: {rows}")
    started = time.perf_counter()
    with work.window_paths() as paths, one_version_each():
        build_window(pipeline.paths, spec, window, source=work.examples, target=paths.examples)
        trained = train_ranker(paths, spec, target=paths.model, log=lambda line: log(f"{name}: {line}"))
        predict_baselines(paths, spec, target=paths.baselines, log=lambda line: log(f"{name}: {line}"))
        scores = score_window(
            window_predictions(pipeline, work, paths),
            spec.tasks,
            window=window.number,
            users=users,
            bootstrap_samples=spec.evaluation.bootstrap_samples,
            seed=spec.seed,
        )
    seconds = round(time.perf_counter() - started, 1)
    with work.finish(window.number) as folder:
        scores.write(folder)
        (folder / "training.json").write_text(
            json.dumps({"best_epoch": trained.best_epoch, "seconds": seconds})
        )
    log(f"{name}: finished in {seconds:.0f} s")


def window_predictions(pipeline: PipelineContext, work: BacktestWork, paths: PipelinePaths) -> pl.DataFrame:
    """The wide frame of one window's validation and test rows, as the evaluation has it."""
    from mtl_pipeline.evaluation.studies.ceiling import with_ceiling
    from mtl_pipeline.learning.training.ranker import predict_examples

    own = predict_examples(paths, pipeline.spec, paths.model)
    with reading(paths.baselines) as folder:
        baselines = pl.read_parquet(folder / "predictions.parquet")
    predictions = own.join(baselines, on="example_id", how="left", maintain_order="left")
    if not work.truth.is_file():
        return predictions
    return with_ceiling(predictions, work.truth, pipeline.spec.interaction_key, pipeline.spec.tasks)


def windows_frame(planned: list[PlannedWindow], training: list[dict[str, float]]) -> pl.DataFrame:
    """A row for each window: which rows train, validate and test, and how long it took."""
    rows = []
    for one, trained in zip(planned, training, strict=True):
        row: dict[str, Any] = {"window": one.window.number, "is_test_split": one.window.is_test_split}
        for split, part in one.parts.items():
            row |= {f"{split}_rows": part.rows, f"{split}_start": part.start, f"{split}_end": part.end}
        rows.append(row | trained)
    return pl.DataFrame(rows, infer_schema_length=None)


def publish_backtest(pipeline: PipelineContext, page: "BacktestResult") -> None:
    from mtl_pipeline.evaluation.report.backtest_report import render_markdown, render_page

    with publish_folder(pipeline.paths.backtest) as folder:
        (folder / "report.html").write_text(render_page(page), encoding="utf-8")
        (folder / "report.md").write_text(render_markdown(page), encoding="utf-8")
        page.windows.write_parquet(folder / "windows.parquet")
        page.scores.metrics.write_parquet(folder / "metrics.parquet")
        page.scores.comparisons.write_parquet(folder / "comparisons.parquet")
        page.pooled.write_parquet(folder / "pooled.parquet")


def backtest_asset_checks(pipeline: PipelineContext) -> dg.AssetChecksDefinition:
    return asset_checks(pipeline, "backtest", backtest_checks(pipeline.paths, pipeline.spec))
