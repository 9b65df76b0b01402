"""What must hold of each output."""

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.spec.assets import embeddings_name
from mtl_pipeline.warehouse.checks.backtest import backtest_checks
from mtl_pipeline.warehouse.checks.outputs import (
    baselines_checks,
    embedding_checks,
    evaluation_checks,
    examples_checks,
    model_checks,
    recommendations_checks,
)
from mtl_pipeline.warehouse.checks.rules import Check, CheckResult, run_checks
from mtl_pipeline.warehouse.checks.seed_runs import seed_runs_checks
from mtl_pipeline.warehouse.checks.tables import rejected_rows_checks, table_checks
from mtl_pipeline.warehouse.checks.tuning import tuning_checks

__all__ = [
    "Check",
    "CheckResult",
    "backtest_checks",
    "baselines_checks",
    "checks_by_asset",
    "embedding_checks",
    "evaluation_checks",
    "examples_checks",
    "model_checks",
    "recommendations_checks",
    "rejected_rows_checks",
    "run_checks",
    "seed_runs_checks",
    "table_checks",
    "tuning_checks",
]


def checks_by_asset(paths: PipelinePaths, spec: PipelineSpec) -> dict[str, list[Check]]:
    """The checks of each asset that has any, but for the champion's, which are no SQL."""
    return {
        **{table: table_checks(spec, table) for table in spec.tables},
        "rejected_rows": rejected_rows_checks(spec),
        **{embeddings_name(table): embedding_checks(paths, table) for table in spec.text_tables},
        "examples": examples_checks(paths, spec),
        "model": model_checks(paths),
        "baselines": baselines_checks(paths, spec),
        "evaluation": evaluation_checks(paths, spec),
        **({"recommendations": recommendations_checks(paths, spec)} if spec.recommends else {}),
        "tuning": tuning_checks(paths, spec),
        "backtest": backtest_checks(paths, spec),
        "seed_runs": seed_runs_checks(paths, spec),
    }
