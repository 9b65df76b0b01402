"""What must hold of a search for settings, so that its architectures can be compared."""

from __future__ import annotations

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.checks.rules import Check, parquet
from mtl_pipeline.warehouse.templates import quote_literal


def tuning_checks(paths: PipelinePaths, spec: PipelineSpec) -> list[Check]:
    trials = parquet(paths.tuning / "trials.parquet")
    architectures = ", ".join(f"({quote_literal(name)})" for name in spec.tuning.architectures)
    return [
        Check(
            "budgets_equal",
            "Each architecture had equally many trials: the best of many is lower than the best of few by chance.",
            "SELECT architecture, trials FROM (SELECT architecture, count(trial) AS trials FROM "
            f"(VALUES {architectures}) AS arms(architecture) LEFT JOIN {trials} USING (architecture) "
            "GROUP BY architecture) QUALIFY trials <> max(trials) OVER ()",
        ),
        Check(
            "present_settings_complete",
            "The settings of defs.yaml were among the trials, and their training ended well: gains are against them.",
            "SELECT 'no such trial' AS offence WHERE NOT EXISTS "
            f"(FROM {trials} WHERE present AND state = 'complete' AND isfinite(score))",
            blocking=False,
        ),
    ]
