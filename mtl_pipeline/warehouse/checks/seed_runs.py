"""What must hold of seed runs, so that their networks can be compared on the same rows."""

from __future__ import annotations

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.predictions import plain_prediction_column
from mtl_pipeline.spec import PipelineSpec, Task
from mtl_pipeline.warehouse.checks.rules import Check, parquet
from mtl_pipeline.warehouse.templates import quote_identifier


def seed_runs_checks(paths: PipelinePaths, spec: PipelineSpec) -> list[Check]:
    predictions = parquet(paths.seed_runs / "predictions.parquet")
    examples = parquet(paths.examples / "examples.parquet")
    held_out = f"(SELECT example_id, split FROM {examples} WHERE split <> 'train')"
    return [
        Check(
            "every_example_predicted",
            "Every network has one prediction for each validation and test example.",
            "SELECT model, seed, example_id, rows FROM "
            f"((SELECT DISTINCT model, seed FROM {predictions}) CROSS JOIN {held_out}) FULL JOIN "
            f"(SELECT model, seed, example_id, count(*) AS rows FROM {predictions} GROUP BY ALL) "
            "USING (model, seed, example_id) WHERE split IS NULL OR rows IS DISTINCT FROM 1",
        ),
        Check(
            "predictions_finite",
            "No prediction is missing, NaN or infinite.",
            f"SELECT model, seed, example_id FROM {predictions} WHERE "
            + " OR ".join(f"({not_finite(task)}) IS NOT FALSE" for task in spec.tasks),
        ),
    ]


def not_finite(task: Task) -> str:
    column = quote_identifier(plain_prediction_column(task.name))
    if task.classes:
        return f"list_bool_or(list_transform({column}::DOUBLE[], lambda x: x IS NULL OR NOT isfinite(x)))"
    return f"NOT isfinite({column})"
