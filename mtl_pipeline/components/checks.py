"""From checks written in SQL to Dagster's asset checks."""

from collections.abc import Iterator, Sequence

import dagster as dg

from mtl_pipeline.components.context import PipelineContext, clear_failures
from mtl_pipeline.components.metadata import markdown_table
from mtl_pipeline.errors import UserError
from mtl_pipeline.warehouse.checks import Check, CheckResult, run_checks

ROWS_READ = "rows read"
"""In the metadata of a table."""


def asset_checks(pipeline: PipelineContext, asset: str, checks: Sequence[Check]) -> dg.AssetChecksDefinition:
    """All checks of one asset, run in one step after it; those of a table know how many rows it was made from."""
    key = pipeline.key(asset)
    specs = [
        dg.AssetCheckSpec(check.name, asset=key, description=check.explanation, blocking=check.blocking)
        for check in checks
    ]

    @dg.multi_asset_check(name=f"{pipeline.name}__{asset}_checks", specs=specs)
    def run(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        with clear_failures():
            known = (
                {"rows_read": latest_metadata(context, key, ROWS_READ)}
                if asset in pipeline.spec.tables
                else {}
            )
            results = run_checks(pipeline.paths, checks, known)
        for result in results:
            yield as_dagster_result(key, result)

    return run


def as_dagster_result(key: dg.AssetKey, result: CheckResult) -> dg.AssetCheckResult:
    metadata: dict[str, dg.MetadataValue] = {
        "offences": dg.MetadataValue.int(result.offences),
        "query": dg.MetadataValue.md(f"```sql\n{result.check.offences.strip()}\n```"),
    }
    if not result.passed:
        metadata["first offences"] = markdown_table(result.sample)
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=result.check.name,
        passed=result.passed,
        severity=dg.AssetCheckSeverity.ERROR if result.check.blocking else dg.AssetCheckSeverity.WARN,
        description=None if result.passed else f"{result.offences:,} offences. {result.check.explanation}",
        metadata=metadata,
    )


def latest_metadata(context: dg.AssetCheckExecutionContext, key: dg.AssetKey, name: str) -> int:
    """A number that the asset's latest materialization reported."""
    event = context.instance.get_latest_materialization_event(key)
    materialization = event.asset_materialization if event else None
    if materialization is None or name not in materialization.metadata:
        raise UserError(f"{key.to_user_string()}: materialize it before its checks; no '{name}' is on record")
    value = materialization.metadata[name].value
    assert isinstance(value, int), f"{name} is a count"
    return value
