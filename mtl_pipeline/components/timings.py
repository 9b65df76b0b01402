"""How long each asset of a pipeline took when it was last made."""

from datetime import datetime

import dagster as dg
import polars as pl


def seconds_per_asset(instance: dg.DagsterInstance, pipeline: str) -> pl.DataFrame:
    """Columns `asset`, `seconds`, in the order in which the latest run of each asset made it.

    Seconds are those of the step that made the asset, without its checks.
    """
    timings: list[tuple[datetime, str, float]] = []
    for key in instance.get_asset_keys(prefix=[pipeline]):
        event = instance.get_latest_materialization_event(key)
        if event is None or event.step_key is None:
            continue
        for step in instance.get_run_step_stats(event.run_id, [event.step_key]):
            if step.start_time and step.end_time:
                started = datetime.fromtimestamp(step.start_time)
                timings.append((started, key.path[-1], step.end_time - step.start_time))
    return pl.DataFrame(sorted(timings), schema=["started", "asset", "seconds"], orient="row").drop("started")
