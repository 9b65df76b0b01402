"""What must hold of each output."""

from mtl_pipeline.warehouse.checks.backtest import backtest_checks
from mtl_pipeline.warehouse.checks.outputs import (
    baselines_checks,
    embedding_checks,
    evaluation_checks,
    examples_checks,
    items_on_offer,
    model_checks,
    recommendations_checks,
)
from mtl_pipeline.warehouse.checks.replications import replications_checks
from mtl_pipeline.warehouse.checks.rules import Check, CheckResult, run_checks
from mtl_pipeline.warehouse.checks.tables import rejected_rows_checks, table_checks
from mtl_pipeline.warehouse.checks.tuning import tuning_checks

__all__ = [
    "Check",
    "CheckResult",
    "backtest_checks",
    "baselines_checks",
    "embedding_checks",
    "evaluation_checks",
    "examples_checks",
    "items_on_offer",
    "model_checks",
    "recommendations_checks",
    "rejected_rows_checks",
    "replications_checks",
    "run_checks",
    "table_checks",
    "tuning_checks",
]
