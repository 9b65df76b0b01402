"""What stands in the place of a pipeline that cannot be used: one asset that says why."""

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
    name = re.sub(r"\W", "_", file.parent.name)

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


def refused_key(pipeline: str) -> dg.AssetKey:
    """Of that asset."""
    return dg.AssetKey([pipeline, "defs_yaml"])
