"""What must hold of each output."""

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.spec.assets import embeddings_name
from mtl_pipeline.warehouse.checks import outputs, studies, tables
from mtl_pipeline.warehouse.checks.rules import Check, CheckResult, run_checks

__all__ = ["Check", "CheckResult", "checks_by_asset", "run_checks"]


def checks_by_asset(paths: PipelinePaths, spec: PipelineSpec) -> dict[str, list[Check]]:
    """The checks of each asset that has any, except the champion's, which are not SQL."""
    checks = {
        **{table: tables.table_checks(spec, table) for table in spec.tables},
        "rejected_rows": tables.rejected_rows_checks(spec),
        **{embeddings_name(table): outputs.embedding_checks(paths, table) for table in spec.text_tables},
        "examples": outputs.examples_checks(paths, spec),
        "model": outputs.model_checks(paths),
        "baselines": outputs.baselines_checks(paths, spec),
        "evaluation": outputs.evaluation_checks(paths, spec),
        **({"recommendations": outputs.recommendations_checks(paths, spec)} if spec.recommends else {}),
        "tuning": studies.tuning_checks(paths, spec),
        "backtest": studies.backtest_checks(paths, spec),
        "seed_runs": studies.seed_runs_checks(paths, spec),
    }
    return {asset: list(of_asset) for asset, of_asset in checks.items()}
