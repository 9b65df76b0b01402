"""Raw files: where lineage starts. The hash of their content is their data version.

A version is put on record in two ways: when the asset is observed, by hand or because the sensor saw that a file came,
changed or went, and when the asset that reads the file starts. The last one makes any run exact, also one that observes
nothing: Dagster itself looks up the versions of inputs before the asset runs, and at that time the file's last
observation may be missing or out of date. Size and time of the files are put on record with it, so that the sensor
hashes nothing: what it sees to be as it was on record is left alone.
"""

import hashlib
import json
import warnings
from collections.abc import Mapping

import dagster as dg

from mtl_pipeline.components.context import PipelineContext, clear_failures
from mtl_pipeline.escaping import markdown_text
from mtl_pipeline.warehouse.reading.raw import RawDescription, describe_raw_files, file_stamps, is_pattern

DATA_VERSION_TAG = "dagster/data_version"
INPUT_DATA_VERSION_TAG = "dagster/input_data_version"
STAMP = "size and time"
"""Of what was hashed; in the metadata of an observation."""
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
        version, metadata = observe(pipeline, table)
        return dg.ObserveResult(data_version=dg.DataVersion(version), metadata=metadata)

    return raw_file


def raw_file_sensor(pipeline: PipelineContext) -> dg.SensorDefinition:
    """Looks at size and time of the raw files, and asks for a run that observes those that changed and stopped
    changing. What was there before anybody ever observed or read it waits until somebody does."""
    keys = [raw_file_key(pipeline, table) for table in pipeline.spec.tables]

    @dg.sensor(
        name=f"{pipeline.name}_raw_files",
        description="Observes raw files, in a run, whenever one came, changed or went, so that the UI shows what is "
        "out of sync.",
        asset_selection=dg.AssetSelection.assets(*keys),
        minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        last = json.loads(context.cursor or "{}")
        stamps = {table: found for table in pipeline.spec.tables if (found := stamp(pipeline, table))}
        recorded = {table: stamp_on_record(context.instance, pipeline, table) for table in stamps}
        known = last.get("known", {table: stamps[table] for table in stamps if recorded[table] is None})
        changed = [
            table
            for table, now in stamps.items()
            if now == last.get("seen", {}).get(table) and now not in (known.get(table), recorded[table])
        ]
        # Also what a run has read meanwhile, so that a file that is put back as it was before is seen to have changed.
        known |= {table: now for table, now in stamps.items() if table in changed or now == recorded[table]}
        observed = [raw_file_key(pipeline, table) for table in changed]
        return dg.SensorResult(
            run_requests=[dg.RunRequest(asset_selection=observed)] if observed else [],
            cursor=json.dumps({"seen": stamps, "known": known}),
        )

    return look


def stamp(pipeline: PipelineContext, table: str) -> str | None:
    """Changes with size or time of any file of a table; None where there is nothing to read yet."""
    stamps = file_stamps(pipeline.paths, pipeline.spec.raw, table)
    return hashlib.sha256(json.dumps(stamps).encode()).hexdigest()[:16] if stamps else None


def stamp_on_record(instance: dg.DagsterInstance, pipeline: PipelineContext, table: str) -> str | None:
    """That of the last observation; None where there is none, or an older version of this project made it."""
    records = instance.fetch_observations(raw_file_key(pipeline, table), limit=1).records
    found = records[0].asset_observation.metadata.get(STAMP) if records else None  # type: ignore[union-attr]
    return str(found.value) if found else None


def record_version_read(
    context: dg.AssetExecutionContext, pipeline: PipelineContext, table: str
) -> Mapping[str, str]:
    """Observe raw files just before they are read. Returns the tags that say so on what is made of it."""
    event = observation(pipeline, table)
    context.log_event(event)
    assert event.data_version is not None
    return {f"{INPUT_DATA_VERSION_TAG}/{event.asset_key.to_user_string()}": event.data_version}


def observation(pipeline: PipelineContext, table: str) -> dg.AssetObservation:
    version, metadata = observe(pipeline, table)
    return dg.AssetObservation(
        asset_key=raw_file_key(pipeline, table), metadata=metadata, tags={DATA_VERSION_TAG: version}
    )


def observe(pipeline: PipelineContext, table: str) -> tuple[str, dict[str, dg.MetadataValue]]:
    """The data version of a table's files, which are read to the end, and what is put on record with it."""
    before = stamp(pipeline, table)  # of a file that changes while it is read, the sensor sees that it did
    described = describe_raw_files(pipeline.paths, pipeline.spec.raw, table)
    return described.version, {**file_metadata(described), STAMP: dg.MetadataValue.text(before or "")}


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
