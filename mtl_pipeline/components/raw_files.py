"""Raw files: where lineage starts. Their content hash is their data version.

A version is put on record in three ways: when the asset is observed, when the sensor sees that the
file changed, and when the asset that reads the file starts. The last one makes any run exact, also
one that observes nothing: Dagster itself looks up the versions of inputs before the asset runs, and
at that time the file's last observation may be missing or out of date.
"""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from mtl_pipeline.components.context import PipelineContext, clear_failures
from mtl_pipeline.warehouse.raw import RawFile, describe_file

DATA_VERSION_TAG = "dagster/data_version"
INPUT_DATA_VERSION_TAG = "dagster/input_data_version"
SECONDS_BETWEEN_LOOKS = 30

# Dagster says at every start that its own handling of observable assets is in beta.
warnings.filterwarnings("ignore", "Parameter `execution_type`", dg.BetaWarning)


def raw_file_assets(pipeline: PipelineContext) -> list[dg.SourceAsset]:
    return [raw_file_asset(pipeline, table) for table in pipeline.spec.tables]


def raw_file_asset(pipeline: PipelineContext, table: str) -> dg.SourceAsset:
    path = raw_file_path(pipeline, table)

    @dg.observable_source_asset(
        key=raw_file_key(pipeline, table),
        group_name=pipeline.name,
        description=f"`{path.name}`, as it was delivered. Observing it hashes the file: a changed file "
        f"shows {table} as out of sync.",
        tags={"dagster/kind/csv": ""},
    )
    @clear_failures()
    def raw_file() -> dg.ObserveResult:
        file = describe_file(path)
        return dg.ObserveResult(data_version=dg.DataVersion(file.sha256), metadata=file_metadata(file))

    return raw_file


def raw_file_sensor(pipeline: PipelineContext) -> dg.SensorDefinition:
    """Looks at size and time of the raw files, and observes those that changed. Starts no runs."""

    @dg.sensor(
        name=f"{pipeline.name}_raw_files",
        description="Observes a raw file whenever it changed, so that the UI shows what is out of sync.",
        minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        seen = json.loads(context.cursor or "{}")
        present = {table: stamp for table in pipeline.spec.tables if (stamp := file_stamp(pipeline, table))}
        changed = [table for table, stamp in present.items() if seen.get(table) != stamp]
        return dg.SensorResult(
            asset_events=[observation(pipeline, table) for table in changed], cursor=json.dumps(present)
        )

    return look


def record_version_read(
    context: dg.AssetExecutionContext, pipeline: PipelineContext, table: str
) -> Mapping[str, str]:
    """Observe a raw file just before it is read. Returns the tags that say so on what is made of it."""
    event = observation(pipeline, table)
    context.log_event(event)
    assert event.data_version is not None
    return {f"{INPUT_DATA_VERSION_TAG}/{event.asset_key.to_user_string()}": event.data_version}


def observation(pipeline: PipelineContext, table: str) -> dg.AssetObservation:
    file = describe_file(raw_file_path(pipeline, table))
    return dg.AssetObservation(
        asset_key=raw_file_key(pipeline, table),
        metadata=file_metadata(file),
        tags={DATA_VERSION_TAG: file.sha256},
    )


def file_metadata(file: RawFile) -> dict[str, dg.MetadataValue]:
    return {
        "dagster/uri": dg.MetadataValue.text(str(file.path)),
        "lines below the header": dg.MetadataValue.int(file.lines - 1),
        "bytes": dg.MetadataValue.int(file.bytes),
        "sha256": dg.MetadataValue.text(file.sha256),
    }


def file_stamp(pipeline: PipelineContext, table: str) -> list[int] | None:
    path = raw_file_path(pipeline, table)
    if not path.is_file() or not (status := path.stat()).st_size:
        return None
    return [status.st_size, status.st_mtime_ns]


def raw_file_path(pipeline: PipelineContext, table: str) -> Path:
    return pipeline.paths.raw / getattr(pipeline.spec.raw, table)


def raw_file_key(pipeline: PipelineContext, table: str) -> dg.AssetKey:
    return pipeline.key(f"raw_{table}")
