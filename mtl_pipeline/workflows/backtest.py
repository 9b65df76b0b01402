"""The backtest: model and baselines trained and tested anew in several windows of time, or folds."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import polars as pl

from mtl_pipeline.evaluation.report.backtest import backtest_report
from mtl_pipeline.evaluation.report.html import to_html
from mtl_pipeline.evaluation.report.markdown import to_markdown
from mtl_pipeline.evaluation.studies.runs.backtest import (
    BacktestResult,
    WindowScores,
    pool_windows,
    score_window,
)
from mtl_pipeline.learning.baselines.predict import predict_baselines
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import one_version_each, publish_folder
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.spec.assets import backtest_version
from mtl_pipeline.spec.quick import refuse_quick
from mtl_pipeline.warehouse.features.windows import PlannedWindow, build_window, plan_windows, users_tested
from mtl_pipeline.workflows.backtest_work import BacktestWork, open_work
from mtl_pipeline.workflows.log import Log
from mtl_pipeline.workflows.predictions import wide_predictions
from mtl_pipeline.workflows.train import train_model


def run_backtest(
    paths: PipelinePaths, spec: PipelineSpec, *, windows: int | None = None, log: Log = print
) -> BacktestResult:
    """Every window that is not finished yet, in order; only one window's rows are in memory at a time. By default
    there are as many windows as defs.yaml says. Raises UserError while another backtest is running."""
    refuse_quick(spec)
    backtest = spec.evaluation.backtest
    backtest = backtest.model_copy(update={"windows": windows or backtest.windows})
    with open_work(paths, spec, backtest_version(paths, spec, backtest)) as work:
        planned = plan_windows(work.inputs / "examples.parquet", spec, backtest)
        users = users_tested(work.inputs / "examples.parquet", spec, planned)
        numbers = [one.window.number for one in planned]
        resumed = [number for number in numbers if work.finished(number)]
        for one in planned:
            if one.window.number in resumed:
                log(f"window {one.window.number} of {len(planned)}: finished in an earlier run")
            else:
                make_window(spec, work, one, users, log)
        scores = WindowScores.together([WindowScores.read(work.window(number)) for number in numbers])
        training = [json.loads((work.window(number) / "training.json").read_text()) for number in numbers]
        resampled = "users" if users is not None else "rows"
        result = BacktestResult(
            pipeline=paths.pipeline,
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
        publish_backtest(paths, result)
    log(f"report: {paths.backtest / 'report.html'}")
    return result


def make_window(
    spec: PipelineSpec, work: BacktestWork, planned: PlannedWindow, users: pl.Series | None, log: Log
) -> None:
    """Train on one window's own rows, score its test rows, and keep the scores in the work folder."""
    window = planned.window

    def say(line: str) -> None:
        log(f"window {window.number} of {window.windows}: {line}")

    say(", ".join(f"{part.rows:,} rows for {split}" for split, part in planned.parts.items()))
    started = time.perf_counter()
    with work.window_paths() as paths, one_version_each():
        build_window(spec, window, source=work.inputs / "examples.parquet", target=paths.examples)
        trained = train_model(paths, spec, target=paths.model, log=say)
        predict_baselines(paths, spec, target=paths.baselines, log=say)
        scores = score_window(
            wide_predictions(paths, spec, truth=work.inputs / "truth.parquet"),
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
    say(f"finished in {seconds:.0f} s")


def windows_frame(planned: list[PlannedWindow], training: list[dict[str, float]]) -> pl.DataFrame:
    """A row for each window: which rows train, validate and test, and how long it took."""
    rows = []
    for one, trained in zip(planned, training, strict=True):
        row: dict[str, Any] = {"window": one.window.number, "is_test_split": one.window.is_test_split}
        for split, part in one.parts.items():
            row |= {f"{split}_rows": part.rows, f"{split}_start": part.start, f"{split}_end": part.end}
        rows.append(row | trained)
    return pl.DataFrame(rows, infer_schema_length=None)


def publish_backtest(paths: PipelinePaths, result: BacktestResult) -> None:
    report = backtest_report(result)
    with publish_folder(paths.backtest) as folder:
        (folder / "report.html").write_text(to_html(report), encoding="utf-8")
        (folder / "report.md").write_text(to_markdown(report.sections), encoding="utf-8")
        result.windows.write_parquet(folder / "windows.parquet")
        result.scores.metrics.write_parquet(folder / "metrics.parquet")
        result.scores.comparisons.write_parquet(folder / "comparisons.parquet")
        result.pooled.write_parquet(folder / "pooled.parquet")
