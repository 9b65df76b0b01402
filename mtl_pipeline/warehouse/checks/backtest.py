"""What must hold of a backtest, so that its windows say what they seem to say."""

from __future__ import annotations

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.checks.rules import Check, parquet


def backtest_checks(paths: PipelinePaths, spec: PipelineSpec) -> list[Check]:
    windows = parquet(paths.backtest / "windows.parquet")
    comparisons = parquet(paths.backtest / "comparisons.parquet")
    placed = (
        Check(
            "folds_test_each_row_once",
            "Every example is tested in one fold: what a fold tests trains the models of the others.",
            f"SELECT tested, examples FROM (SELECT sum(test_rows) AS tested FROM {windows}), "
            f"(SELECT count(*) AS examples FROM {parquet(paths.examples / 'examples.parquet')}) "
            "WHERE tested <> examples",
            blocking=False,
        )
        if spec.split.hash_by
        else Check(
            "windows_follow_time",
            "In each window training ends before validation begins, validation before the test, and the test before "
            "that of the next window: nothing is learned from what comes later.",
            'SELECT "window" FROM (SELECT *, lead(test_start) OVER (ORDER BY "window") AS next_start '
            f"FROM {windows}) WHERE train_end >= validation_start OR validation_end >= test_start "
            "OR test_end >= next_start",
        )
    )
    return [
        placed,
        Check(
            "every_window_scored",
            "Each task has a score in each window. Where it has none, the window's test rows hold no label of it, or "
            "one class only, and the averages are of the other windows.",
            f'SELECT DISTINCT "window", task, metric FROM {comparisons} WHERE isnan(difference)',
            blocking=False,
        ),
    ]
