"""What Dagster shows as out of sync: what changed, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mtl_pipeline.components.assets import raw_files
from mtl_pipeline.components.assets.raw_files import raw_file_sensor
from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.paths import ROOT_VARIABLE
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.reading.raw import describe_raw_files
from mtl_pipeline_tests.components.conftest import Project, open_copy, open_project, record_runs
from mtl_pipeline_tests.conftest import PIPELINE, MakeOnce, write_tiny_pipeline

TABLES = ("users", "items", "interactions")


@pytest.fixture(scope="session")
def cleaned_once(make_once: MakeOnce) -> Path:
    """The root of a project whose tables are made, and that run. Only to be copied."""

    def make(folder: Path) -> None:
        root = folder / "root"
        with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
            patch.setenv(ROOT_VARIABLE, str(root))
            open_project(write_tiny_pipeline(root), instance).run_or_fail(*TABLES)
            record_runs(instance, folder)

    return make_once("cleaned", make)


@pytest.fixture
def cleaned(cleaned_once: Path, tmp_path: Path) -> Iterator[Project]:
    """Its tables are made."""
    with open_copy(cleaned_once, tmp_path / "root") as project:
        yield project


def append_user(project: Project) -> None:
    with (project.pipeline.paths.raw / "users.csv").open("a") as file:
        file.write("500,30,F,artist,10001\n")


def test_after_a_run_nothing_is_out_of_sync_even_if_no_file_was_ever_observed(cleaned: Project) -> None:
    assert cleaned.out_of_sync() == {}


def test_changed_file_shows_its_table_as_out_of_sync_once_observed(cleaned: Project) -> None:
    append_user(cleaned)
    cleaned.run_or_fail("raw_users")
    assert cleaned.out_of_sync() == {"users": ["raw_users"]}

    cleaned.run_or_fail("users")
    assert cleaned.out_of_sync() == {"interactions": ["users"]}


def test_table_made_alone_records_the_version_that_it_read(cleaned: Project) -> None:
    append_user(cleaned)
    cleaned.run_or_fail(*TABLES)
    cleaned.run_or_fail("raw_users")
    assert cleaned.out_of_sync() == {}


def test_same_content_made_again_leaves_what_follows_in_sync(cleaned: Project) -> None:
    cleaned.run_or_fail("users")
    assert cleaned.out_of_sync() == {}


def test_changed_sql_shows_its_table_as_out_of_sync(cleaned: Project) -> None:
    with (cleaned.pipeline.paths.sql / "items.sql").open("a") as file:
        file.write("-- a new rule\n")
    reloaded = open_project(cleaned.pipeline, cleaned.instance)
    assert reloaded.out_of_sync() == {"items": ["has a new code version"]}


@dataclass
class Sensor:
    """The sensor of a project, and the cursor that Dagster keeps for it."""

    project: Project
    spec: PipelineSpec
    cursor: str | None = None

    def look(self) -> list[str]:
        """One tick: the raw files that it asks to observe, in one run."""
        context = PipelineContext(PIPELINE, self.spec, self.project.pipeline.paths)
        result = raw_file_sensor(context)(
            dg.build_sensor_context(instance=self.project.instance, cursor=self.cursor)
        )
        assert isinstance(result, dg.SensorResult)
        assert not result.asset_events, "nothing is hashed in a tick"
        self.cursor = result.cursor
        requests = result.run_requests or []
        assert len(requests) <= 1
        return [key.path[-1] for request in requests for key in request.asset_selection or []]

    def look_twice(self) -> list[str]:
        """What changed is asked for once it has stopped changing."""
        assert self.look() == []
        return self.look()


@pytest.fixture
def sensor(project: Project) -> Sensor:
    """Before the first run."""
    return Sensor(project, project.pipeline.spec)


@pytest.fixture
def later_sensor(cleaned: Project) -> Sensor:
    """After a run."""
    return Sensor(cleaned, cleaned.pipeline.spec)


def test_files_that_were_always_there_start_no_runs(sensor: Sensor) -> None:
    assert sensor.look_twice() == []


def test_files_that_a_run_has_read_start_no_runs(later_sensor: Sensor) -> None:
    assert later_sensor.look_twice() == []
    append_user(later_sensor.project)
    later_sensor.project.run_or_fail(*TABLES)
    assert later_sensor.look_twice() == []


def test_a_file_that_changed_before_the_first_look_is_observed(later_sensor: Sensor) -> None:
    append_user(later_sensor.project)
    assert later_sensor.look_twice() == ["raw_users"]


def test_sensor_asks_once_for_each_change_and_the_run_puts_it_on_record(later_sensor: Sensor) -> None:
    later_sensor.look()
    append_user(later_sensor.project)
    assert later_sensor.look_twice() == ["raw_users"]
    assert later_sensor.look_twice() == [], "also while the run has not been made"
    later_sensor.project.run_or_fail("raw_users")
    assert later_sensor.project.out_of_sync() == {"users": ["raw_users"]}
    assert later_sensor.look_twice() == []


def test_a_file_that_is_put_back_as_it_was_is_observed(sensor: Sensor) -> None:
    """With its old time, as `cp -p` and `rsync -t` put it back, after a run has read another."""
    sensor.look()
    users = sensor.project.pipeline.paths.raw / "users.csv"
    content, status = users.read_bytes(), users.stat()
    append_user(sensor.project)
    sensor.project.run_or_fail(*TABLES)
    assert sensor.look_twice() == []
    users.write_bytes(content)
    os.utime(users, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert sensor.look_twice() == ["raw_users"]


def test_a_file_that_grows_is_left_to_grow(later_sensor: Sensor) -> None:
    for _ in range(4):
        append_user(later_sensor.project)
        assert later_sensor.look() == []
    assert later_sensor.look() == ["raw_users"]


def test_a_file_that_changes_while_it_is_read_is_seen_to_have_changed(
    sensor: Sensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def describe_and_append(*arguments: Any) -> Any:
        described = describe_raw_files(*arguments)
        append_user(sensor.project)
        return described

    with monkeypatch.context() as patch:
        patch.setattr(raw_files, "describe_raw_files", describe_and_append)
        sensor.project.run_or_fail("raw_users")
    assert sensor.look_twice() == ["raw_users"]


def test_sensor_sees_files_of_a_pattern_come_and_go(sensor: Sensor) -> None:
    raw = sensor.project.pipeline.paths.raw
    daily = sensor.spec.raw.model_copy(update={"interactions": "day-{date}.csv"})
    sensor.spec = sensor.spec.model_copy(update={"raw": daily})
    assert sensor.look_twice() == []
    for day in ("2024-01-01", "2024-01-02"):
        (raw / f"day-{day}.csv").write_text("user_id,movie_id,rating,timestamp\n")
        assert sensor.look_twice() == ["raw_interactions"]
    (raw / "day-2024-01-01.csv").unlink()
    assert sensor.look_twice() == ["raw_interactions"]
    assert sensor.look_twice() == []


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
