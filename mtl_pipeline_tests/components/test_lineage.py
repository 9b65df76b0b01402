"""What Dagster shows as out of sync: what changed, and nothing else."""

from __future__ import annotations

import dagster as dg

from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.raw_files import raw_file_sensor
from mtl_pipeline_tests.components.conftest import Project, open_project
from mtl_pipeline_tests.conftest import PIPELINE

TABLES = ("users", "items", "interactions")


def append_user(project: Project) -> None:
    with (project.pipeline.paths.raw / "users.csv").open("a") as file:
        file.write("500,30,F,artist,10001\n")


def test_after_a_run_nothing_is_out_of_sync_even_if_no_file_was_ever_observed(project: Project) -> None:
    project.run_or_fail(*TABLES)
    assert project.out_of_sync() == {}


def test_changed_file_shows_its_table_as_out_of_sync_once_observed(project: Project) -> None:
    project.run_or_fail(*TABLES)
    append_user(project)
    project.run_or_fail("raw_users")
    assert project.out_of_sync() == {"users": ["raw_users"]}

    project.run_or_fail("users")
    assert project.out_of_sync() == {"interactions": ["users"]}


def test_table_made_alone_records_the_version_that_it_read(project: Project) -> None:
    project.run_or_fail(*TABLES)
    append_user(project)
    project.run_or_fail(*TABLES)
    project.run_or_fail("raw_users")
    assert project.out_of_sync() == {}


def test_same_content_made_again_leaves_what_follows_in_sync(project: Project) -> None:
    project.run_or_fail(*TABLES)
    project.run_or_fail("users")
    assert project.out_of_sync() == {}


def test_changed_sql_shows_its_table_as_out_of_sync(project: Project) -> None:
    project.run_or_fail(*TABLES)
    with (project.pipeline.paths.sql / "items.sql").open("a") as file:
        file.write("-- a new rule\n")
    reloaded = open_project(project.pipeline, project.instance)
    assert reloaded.out_of_sync() == {"items": ["has a new code version"]}


def test_sensor_observes_each_changed_file_once(project: Project) -> None:
    context = PipelineContext(PIPELINE, project.pipeline.spec, project.pipeline.paths)
    sensor = raw_file_sensor(context)

    def look(cursor: str | None) -> dg.SensorResult:
        result = sensor(dg.build_sensor_context(cursor=cursor))
        assert isinstance(result, dg.SensorResult)
        return result

    def observed(result: dg.SensorResult) -> list[str]:
        return [event.asset_key.path[-1] for event in result.asset_events]

    first = look(None)
    assert observed(first) == ["raw_users", "raw_items", "raw_interactions"]
    assert observed(look(first.cursor)) == []
    append_user(project)
    assert observed(look(first.cursor)) == ["raw_users"]


def test_sensor_sees_files_of_a_pattern_come_and_go(project: Project) -> None:
    raw = project.pipeline.paths.raw
    daily = project.pipeline.spec.raw.model_copy(update={"interactions": "day-{date}.csv"})
    spec = project.pipeline.spec.model_copy(update={"raw": daily})
    sensor = raw_file_sensor(PipelineContext(PIPELINE, spec, project.pipeline.paths))

    def look(cursor: str | None) -> tuple[list[str], str | None]:
        result = sensor(dg.build_sensor_context(cursor=cursor))
        assert isinstance(result, dg.SensorResult)
        return [event.asset_key.path[-1] for event in result.asset_events], result.cursor

    observed, cursor = look(None)
    assert observed == ["raw_users", "raw_items"]
    for day in ("2024-01-01", "2024-01-02"):
        (raw / f"day-{day}.csv").write_text("user_id,movie_id,rating,timestamp\n")
        observed, cursor = look(cursor)
        assert observed == ["raw_interactions"]
    (raw / "day-2024-01-01.csv").unlink()
    observed, cursor = look(cursor)
    assert observed == ["raw_interactions"]
    assert look(cursor)[0] == []


def test_observation_counts_lines_and_bytes(project: Project) -> None:
    project.run_or_fail("raw_users")
    records = project.instance.fetch_observations(dg.AssetKey([PIPELINE, "raw_users"]), limit=1).records
    observation = records[0].asset_observation
    assert observation is not None
    path = project.pipeline.paths.raw / "users.csv"
    metadata = {name: value.value for name, value in observation.metadata.items()}
    assert metadata["bytes"] == path.stat().st_size
    assert metadata["lines below the header"] == len(path.read_text().splitlines()) - 1
    assert observation.data_version == metadata["sha256"]
