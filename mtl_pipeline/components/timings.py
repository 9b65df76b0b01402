"""How long each asset of a pipeline took when it was last made."""

import dagster as dg
import polars as pl


def seconds_per_asset(instance: dg.DagsterInstance, pipeline: str) -> pl.DataFrame:
    """Columns `asset`, `seconds`, in the order in which the latest run of each asset made it.

    Seconds are those of the step that made the asset, without its checks.
    """
    timings: list[tuple[float, str, float]] = []
    for key in instance.get_asset_keys(prefix=[pipeline]):
        event = instance.get_latest_materialization_event(key)
        if event and event.step_key:
            for step in instance.get_run_step_stats(event.run_id, [event.step_key]):
                if step.start_time and step.end_time:
                    timings.append((step.start_time, key.path[-1], step.end_time - step.start_time))
    schema = {"started": pl.Float64, "asset": pl.String, "seconds": pl.Float64}
    return pl.DataFrame(sorted(timings), schema, orient="row").drop("started")
