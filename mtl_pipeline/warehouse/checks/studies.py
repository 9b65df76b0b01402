"""What must hold of backtest, tuning and seed runs before their results can be trusted."""

from __future__ import annotations

from collections.abc import Iterator

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.predictions import plain_prediction_column
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.checks.rules import Check, not_finite, parquet
from mtl_pipeline.warehouse.templates import quote_identifier, quote_literal


def backtest_checks(paths: PipelinePaths, spec: PipelineSpec) -> Iterator[Check]:
    windows = parquet(paths.backtest / "windows.parquet")
    if spec.split.hash_by:
        yield Check(
            "folds_test_each_row_once",
            "Every example is tested in one fold: what a fold tests trains the models of the others.",
            f"SELECT tested, examples FROM (SELECT sum(test_rows) AS tested FROM {windows}), "
            f"(SELECT count(*) AS examples FROM {parquet(paths.examples / 'examples.parquet')}) "
            "WHERE tested <> examples",
            blocking=False,
        )
    else:
        yield Check(
            "windows_follow_time",
            "In each window training ends before validation begins, validation before the test, and the test before "
            "that of the next window: nothing is learned from what comes later.",
            'SELECT "window" FROM (SELECT *, lead(test_start) OVER (ORDER BY "window") AS next_start '
            f"FROM {windows}) WHERE train_end >= validation_start OR validation_end >= test_start "
            "OR test_end >= next_start",
        )
    yield Check(
        "every_window_scored",
        "Each task has a score in each window. Where it has none, the window's test rows hold no label of it, or "
        "one class only, and the averages are of the other windows.",
        f'SELECT DISTINCT "window", task, metric FROM {parquet(paths.backtest / "comparisons.parquet")} '
        "WHERE isnan(difference)",
        blocking=False,
    )


def tuning_checks(paths: PipelinePaths, spec: PipelineSpec) -> Iterator[Check]:
    trials = parquet(paths.tuning / "trials.parquet")
    architectures = ", ".join(f"({quote_literal(name)})" for name in spec.compared_architectures)
    yield Check(
        "budgets_equal",
        "Each architecture had equally many trials: the best of many is lower than the best of few by chance.",
        "SELECT architecture, trials FROM (SELECT architecture, count(trial) AS trials FROM "
        f"(VALUES {architectures}) AS arms(architecture) LEFT JOIN {trials} USING (architecture) "
        "GROUP BY architecture) QUALIFY trials <> max(trials) OVER ()",
    )
    yield Check(
        "present_settings_complete",
        "The settings of defs.yaml were among the trials, and trained successfully: gains are measured against them.",
        "SELECT 'no such trial' AS offence WHERE NOT EXISTS "
        f"(FROM {trials} WHERE present AND state = 'complete' AND isfinite(score))",
        blocking=False,
    )


def seed_runs_checks(paths: PipelinePaths, spec: PipelineSpec) -> Iterator[Check]:
    predictions = parquet(paths.seed_runs / "predictions.parquet")
    examples = parquet(paths.examples / "examples.parquet")
    yield Check(
        "every_example_predicted",
        "Every network has one prediction for each validation and test example.",
        f"SELECT model, seed, example_id, rows FROM ((SELECT DISTINCT model, seed FROM {predictions}) CROSS JOIN "
        f"(SELECT example_id, split FROM {examples} WHERE split <> 'train')) FULL JOIN "
        f"(SELECT model, seed, example_id, count(*) AS rows FROM {predictions} GROUP BY ALL) "
        "USING (model, seed, example_id) WHERE split IS NULL OR rows IS DISTINCT FROM 1",
    )
    columns = [
        not_finite(quote_identifier(plain_prediction_column(task.name)), bool(task.classes))
        for task in spec.tasks
    ]
    yield Check(
        "predictions_finite",
        "No prediction is missing, NaN or infinite.",
        f"SELECT model, seed, example_id FROM {predictions} WHERE "
        + " OR ".join(f"({wrong}) IS NOT FALSE" for wrong in columns),
    )
