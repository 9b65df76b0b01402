"""Raw files: where lineage starts. The hash of their content is their data version.

A version is put on record in three ways: when the asset is observed, when the sensor sees that a
file came, changed or went, and when the asset that reads the file starts. The last one makes any run exact, also
one that observes nothing: Dagster itself looks up the versions of inputs before the asset runs, and
at that time the file's last observation may be missing or out of date.
"""

import json
import warnings
from collections.abc import Mapping

import dagster as dg

from mtl_pipeline.components.context import PipelineContext, clear_failures
from mtl_pipeline.escaping import markdown_text
from mtl_pipeline.warehouse.raw import RawDescription, describe_raw_files, file_stamps, is_pattern

DATA_VERSION_TAG = "dagster/data_version"
INPUT_DATA_VERSION_TAG = "dagster/input_data_version"
SECONDS_BETWEEN_LOOKS = 30
FILES_LISTED = 20

# Dagster says at every start that its own handling of observable assets is in beta.
warnings.filterwarnings("ignore", "Parameter `execution_type`", dg.BetaWarning)


def raw_file_assets(pipeline: PipelineContext) -> list[dg.SourceAsset]:
    return [raw_file_asset(pipeline, table) for table in pipeline.spec.tables]


def raw_file_asset(pipeline: PipelineContext, table: str) -> dg.SourceAsset:
    pattern = getattr(pipeline.spec.raw, table)
    files, file = (
        ("files", "a file that came, changed or went") if is_pattern(pattern) else ("file", "a changed file")
    )

    @dg.observable_source_asset(
        key=raw_file_key(pipeline, table),
        group_name=pipeline.name,
        description=f"`{pattern}`, as delivered. Observing it hashes the {files}: {file} "
        f"shows {table} as out of sync.",
        tags={f"dagster/kind/{'parquet' if pattern.endswith('.parquet') else 'csv'}": ""},
    )
    @clear_failures()
    def raw_file() -> dg.ObserveResult:
        described = describe_raw_files(pipeline.paths, pipeline.spec.raw, table)
        return dg.ObserveResult(
            data_version=dg.DataVersion(described.version), metadata=file_metadata(described)
        )

    return raw_file


def raw_file_sensor(pipeline: PipelineContext) -> dg.SensorDefinition:
    """Looks at size and time of the raw files, and observes those that changed. Starts no runs."""

    @dg.sensor(
        name=f"{pipeline.name}_raw_files",
        description="Observes raw files whenever one came, changed or went, so that the UI shows what is "
        "out of sync.",
        minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        seen = json.loads(context.cursor or "{}")
        stamps = {
            table: file_stamps(pipeline.paths, pipeline.spec.raw, table) for table in pipeline.spec.tables
        }
        present = {table: files for table, files in stamps.items() if files}
        changed = [table for table, files in present.items() if seen.get(table) != files]
        return dg.SensorResult(
            asset_events=[observation(pipeline, table) for table in changed], cursor=json.dumps(present)
        )

    return look


def record_version_read(
    context: dg.AssetExecutionContext, pipeline: PipelineContext, table: str
) -> Mapping[str, str]:
    """Observe raw files just before they are read. Returns the tags that say so on what is made of it."""
    event = observation(pipeline, table)
    context.log_event(event)
    assert event.data_version is not None
    return {f"{INPUT_DATA_VERSION_TAG}/{event.asset_key.to_user_string()}": event.data_version}


def observation(pipeline: PipelineContext, table: str) -> dg.AssetObservation:
    described = describe_raw_files(pipeline.paths, pipeline.spec.raw, table)
    return dg.AssetObservation(
        asset_key=raw_file_key(pipeline, table),
        metadata=file_metadata(described),
        tags={DATA_VERSION_TAG: described.version},
    )


def file_metadata(described: RawDescription) -> dict[str, dg.MetadataValue]:
    """Size and version; the address of a single file, or the names of the first of several."""
    files = described.files
    names = "\n".join(f"- {markdown_text(file.name)}" for file in files[:FILES_LISTED])
    more = f"\n- and {len(files) - FILES_LISTED:,} more" if len(files) > FILES_LISTED else ""
    metadata: dict[str, dg.MetadataValue] = {
        "bytes": dg.MetadataValue.int(described.bytes),
        "sha256": dg.MetadataValue.text(described.version),
    }
    if described.rows is not None:
        metadata["lines below the header"] = dg.MetadataValue.int(described.rows)
    if len(files) == 1:
        metadata["dagster/uri"] = dg.MetadataValue.text(files[0].path)
    else:
        metadata["number of files"] = dg.MetadataValue.int(len(files))
        metadata["files"] = dg.MetadataValue.md(names + more)
    return metadata


def raw_file_key(pipeline: PipelineContext, table: str) -> dg.AssetKey:
    return pipeline.key(f"raw_{table}")
