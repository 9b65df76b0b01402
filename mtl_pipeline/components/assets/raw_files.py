"""Raw files: where lineage starts. The hash of their content is their data version.

A version is recorded in two ways: when the asset is observed, by hand or because the sensor saw that a file appeared,
changed or went away, and when the asset that reads the file starts. The latter makes every run exact, even one that
observes nothing: Dagster itself looks up the versions of inputs before the asset runs, and by then the file's last
observation may be missing or out of date. Size and time of the files are recorded as well, so that the sensor hashes
nothing: files that look as they did when they were recorded are left alone.
"""

import hashlib
import json
import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg

from mtl_pipeline.components.context import PipelineContext, clear_failures
from mtl_pipeline.errors import UserError
from mtl_pipeline.escaping import markdown_text
from mtl_pipeline.warehouse.reading.raw import describe_raw_files, file_stamps, is_pattern

DATA_VERSION_TAG = "dagster/data_version"
INPUT_DATA_VERSION_TAG = "dagster/input_data_version"
STAMP = "size and time"
"""Metadata of an observation: `stamp` of what was hashed."""
SECONDS_BETWEEN_LOOKS = 30
FILES_LISTED = 20

# Dagster says at every start that its own handling of observable assets is in beta.
warnings.filterwarnings("ignore", "Parameter `execution_type`", dg.BetaWarning)


def raw_file_asset(pipeline: PipelineContext, table: str) -> dg.SourceAsset:
    pattern = getattr(pipeline.spec.raw, table)
    files, file = (
        ("files", "a file that appeared, changed or went away")
        if is_pattern(pattern)
        else ("file", "a changed file")
    )

    @dg.observable_source_asset(
        key=raw_file_key(pipeline, table),
        group_name=pipeline.name,
        description=f"`{pattern}`, as delivered. Observing it hashes the {files}; {file} "
        f"puts {table} out of sync.",
        tags={f"dagster/kind/{'parquet' if pattern.endswith('.parquet') else 'csv'}": ""},
    )
    @clear_failures()
    def raw_file() -> dg.ObserveResult:
        version, metadata = observe(pipeline, table)
        return dg.ObserveResult(data_version=dg.DataVersion(version), metadata=metadata)

    return raw_file


def raw_file_sensor(pipeline: PipelineContext) -> dg.SensorDefinition:
    """Looks at size and time of the raw files, and asks for a run that observes those that changed and stopped
    changing. Files that were there before anybody observed or read them wait until somebody does."""
    tables = pipeline.spec.tables

    @dg.sensor(
        name=f"{pipeline.name}_raw_files",
        description="Observes raw files, in a run, whenever one appears, changes or goes away, so that the UI shows "
        "what is out of sync.",
        asset_selection=dg.AssetSelection.assets(*(raw_file_key(pipeline, table) for table in tables)),
        minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        last = json.loads(context.cursor or "{}")
        stamps = {table: now for table in tables if (now := stamp(pipeline, table))}
        recorded = {table: recorded_stamp(context.instance, pipeline, table) for table in stamps}
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
    """Changes with the size or time of any file of a table; None where there is nothing to read yet."""
    stamps = file_stamps(pipeline.paths, pipeline.spec.raw, table)
    return hashlib.sha256(json.dumps(stamps).encode()).hexdigest()[:16] if stamps else None


def recorded_stamp(instance: dg.DagsterInstance, pipeline: PipelineContext, table: str) -> str | None:
    """The stamp in the last observation; None where there is no observation, or one without a stamp."""
    records = instance.fetch_observations(raw_file_key(pipeline, table), limit=1).records
    recorded = records[0].asset_observation.metadata.get(STAMP) if records else None  # type: ignore[union-attr]
    return str(recorded.value) if recorded else None


def record_version_read(
    context: dg.AssetExecutionContext, pipeline: PipelineContext, table: str
) -> Mapping[str, str]:
    """Observe raw files just before they are read. Returns the tags that record it on what is made of them."""
    key, (version, metadata) = raw_file_key(pipeline, table), observe(pipeline, table)
    context.log_event(dg.AssetObservation(key, metadata=metadata, tags={DATA_VERSION_TAG: version}))
    return {f"{INPUT_DATA_VERSION_TAG}/{key.to_user_string()}": version}


def observe_changed(instance: dg.DagsterInstance, pipeline: PipelineContext) -> None:
    """Observe, without a run, the raw files whose size or time is not as it was recorded; nothing else is hashed.

    Raises UserError where files are missing, with the first problem of each table."""
    problems = []
    for table in pipeline.spec.tables:
        now = stamp(pipeline, table)
        if now is None or now != recorded_stamp(instance, pipeline, table):
            try:
                version, metadata = observe(pipeline, table)
            except UserError as error:
                problems.append(str(error))
                continue
            tags, key = {DATA_VERSION_TAG: version}, raw_file_key(pipeline, table)
            instance.report_runless_asset_event(dg.AssetObservation(key, metadata=metadata, tags=tags))
    if problems:
        raise UserError("\n".join(problems))


def observe(pipeline: PipelineContext, table: str) -> tuple[str, dict[str, Any]]:
    """The data version of a table's files, which are read to the end, and the metadata that is recorded with it: their
    size and version; the address of a single file, or the names of the first of several."""
    before = stamp(pipeline, table)  # so that the sensor notices a file that changes while it is read
    described = describe_raw_files(pipeline.paths, pipeline.spec.raw, table)
    files = described.files
    metadata: dict[str, Any] = {"bytes": described.bytes, "sha256": described.version}
    if described.rows is not None:
        metadata["lines below the header"] = described.rows
    if len(files) == 1:
        metadata["dagster/uri"] = files[0].path
    else:
        names = [f"- {markdown_text(file.name)}" for file in files[:FILES_LISTED]]
        more = [f"- and {len(files) - FILES_LISTED:,} more"] if len(files) > FILES_LISTED else []
        metadata["number of files"] = len(files)
        metadata["files"] = dg.MetadataValue.md("\n".join(names + more))
    return described.version, metadata | {STAMP: before or ""}


def raw_file_key(pipeline: PipelineContext, table: str) -> dg.AssetKey:
    return pipeline.key(f"raw_{table}")
