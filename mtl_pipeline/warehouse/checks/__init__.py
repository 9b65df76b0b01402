"""What must hold of each output."""

from itertools import chain

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.spec.assets import embeddings_name
from mtl_pipeline.warehouse.checks.outputs import (
    baselines_checks,
    embedding_checks,
    evaluation_checks,
    examples_checks,
    model_checks,
    recommendations_checks,
    recommendations_warnings,
)
from mtl_pipeline.warehouse.checks.rules import Check, CheckResult, run_checks
from mtl_pipeline.warehouse.checks.studies import backtest_checks, seed_runs_checks, tuning_checks
from mtl_pipeline.warehouse.checks.tables import rejected_rows_checks, table_checks

__all__ = ["Check", "CheckResult", "checks_by_asset", "run_checks"]


def checks_by_asset(paths: PipelinePaths, spec: PipelineSpec) -> dict[str, list[Check]]:
    """The checks of each asset that has any, except the champion's, which are not SQL."""
    checks = {
        **{table: table_checks(spec, table) for table in spec.tables},
        "rejected_rows": rejected_rows_checks(spec),
        **{embeddings_name(*pair): embedding_checks(paths, *pair) for pair in spec.embedded},
        "examples": examples_checks(paths, spec),
        "model": model_checks(paths, spec),
        "baselines": baselines_checks(paths, spec),
        "evaluation": evaluation_checks(paths, spec),
        **(
            {
                "recommendations": chain(
                    recommendations_checks(paths, spec), recommendations_warnings(paths, spec)
                )
            }
            if spec.recommends
            else {}
        ),
        "tuning": tuning_checks(paths, spec),
        "backtest": backtest_checks(paths, spec),
        "seed_runs": seed_runs_checks(paths, spec),
    }
    return {asset: list(of_asset) for asset, of_asset in checks.items()}
