"""What stands in the place of a pipeline that cannot be used: one asset that says why."""

import hashlib
import re
from pathlib import Path

import dagster as dg

from mtl_pipeline.components.context import clear_failures
from mtl_pipeline.errors import UserError
from mtl_pipeline.spec.sections import Schedule

REASON = "reason"
"""Metadata of the asset."""


def refused_pipeline(file: Path, reason: str) -> dg.Definitions:
    """Of the pipeline that `file` declares. Its nightly run, where one is switched on, fails and says why too, instead
    of silently not taking place."""
    name = refused_name(file)

    @dg.asset(
        key=refused_key(name),
        group_name=name,
        kinds={"yaml"},
        description=f"This pipeline is left out until it is mended:\n\n```\n{reason}\n```\n\nThen reload definitions.",
        metadata={REASON: reason, "file": dg.MetadataValue.path(file)},
    )
    @clear_failures()
    def declaration() -> None:
        raise UserError(reason)

    job = dg.define_asset_job(name, selection=[declaration])
    schedule = dg.ScheduleDefinition(
        name=f"{name}_nightly", job=job, cron_schedule=Schedule().cron, execution_timezone=Schedule().timezone
    )
    return dg.Definitions(assets=[declaration], jobs=[job], schedules=[schedule])


def refused_name(file: Path) -> str:
    """Of its folder, where Dagster takes that for a name; else a similar one that no other folder has."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", file.parent.name)
    digest = hashlib.sha256(bytes(file.resolve())).hexdigest()
    return name if name == file.parent.name else f"{name}_{digest[:8]}"


def refused_key(name: str) -> dg.AssetKey:
    """Of that asset."""
    return dg.AssetKey([name, "defs_yaml"])


def refuse_left_out(definitions: dg.Definitions, file: Path) -> None:
    """Raises UserError where the pipeline that `file` declares is left out; that it was loaded said why."""
    if definitions.resolve_asset_graph().has(refused_key(refused_name(file))):
        raise UserError("It can be run once that is mended.")
