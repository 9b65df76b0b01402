"""Dagster's asset checks, from checks that are written in SQL."""

from collections.abc import Iterator, Sequence

import dagster as dg

from mtl_pipeline.components.context import (
    PRIORITY,
    PipelineContext,
    clear_failures,
    latest_materialization,
)
from mtl_pipeline.components.metadata import table
from mtl_pipeline.errors import UserError
from mtl_pipeline.warehouse.checks import Check, CheckResult, run_checks

ROWS_READ = "rows read"
"""Metadata of a table."""
OFFENCES = "first offences"
"""Metadata of a check that failed: a table of the first rows that break its rule."""
STOPS_TRAINING = "stops training"
"""Metadata in the specification of a check that warns: where it fails, training is in vain."""


def asset_checks(pipeline: PipelineContext, asset: str, checks: Sequence[Check]) -> dg.AssetChecksDefinition:
    """All checks of one asset, run in one step after it. Those of a table know how many rows were read to make it."""
    key = pipeline.key(asset)
    specs = [
        dg.AssetCheckSpec(
            check.name,
            asset=key,
            description=check.explanation,
            blocking=check.blocking,
            metadata={STOPS_TRAINING: True} if check.stops_training else None,
        )
        for check in checks
    ]

    @dg.multi_asset_check(name=f"{pipeline.name}__{asset}_checks", specs=specs, op_tags={PRIORITY: "2"})
    def run(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        with clear_failures():
            is_table = asset in pipeline.spec.tables
            variables = {"rows_read": rows_read(context.instance, key)} if is_table else {}
            results = run_checks(pipeline.paths, checks, variables)
        for result in results:
            yield as_dagster_result(key, result)

    return run


def rows_read(instance: dg.DagsterInstance, key: dg.AssetKey) -> int:
    """As the table's latest materialization reported."""
    latest = latest_materialization(instance, key)
    if latest is None or ROWS_READ not in latest.metadata:
        raise UserError(
            f"{key.to_user_string()}: materialize it before its checks; no '{ROWS_READ}' is on record"
        )
    rows = latest.metadata[ROWS_READ].value
    assert isinstance(rows, int), f"{ROWS_READ} is a count"
    return rows


def offences(result: CheckResult) -> str:
    return f"{result.offences:,} offence{'s' * (result.offences != 1)}"


def as_dagster_result(key: dg.AssetKey, result: CheckResult) -> dg.AssetCheckResult:
    check = result.check
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=check.name,
        passed=result.passed,
        severity=dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN,
        description=None if result.passed else f"{offences(result)}. {check.explanation}",
        metadata={
            "offences": result.offences,
            "query": dg.MetadataValue.md(f"```sql\n{check.offences.strip()}\n```"),
            **({} if result.passed else {OFFENCES: table(result.sample)}),
        },
    )
