"""`python -m mtl_pipeline.run`, as its user sees it: what is made, what is said, and how it ends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.debug import DebugRunPayload
from dagster._serdes import deserialize_value

from mtl_pipeline.schema import COMPONENT_TYPE
from mtl_pipeline_tests.conftest import PIPELINE, REPOSITORY, TinyPipeline, tiny_spec

PROJECT = '[tool.dg]\ndirectory_type = "project"\n\n[tool.dg.project]\nroot_module = "recommender"\n'
SECONDS_TO_START = 60


@dataclass(frozen=True)
class UserProject:
    """A project of its own in which the tiny pipeline was made, with the instance that remembers it."""

    root: Path
    installed: Path
    """The folder that holds the package, in which no project is."""
    instance: dg.DagsterInstance

    @property
    def pipeline(self) -> TinyPipeline:
        return TinyPipeline(self.root)

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name != "MTL_PIPELINE_ROOT"}
        return inherited | {"PYTHONPATH": str(self.installed), "OMP_NUM_THREADS": "1"}

    def command(self, *options: str, module: str = "run") -> list[str]:
        return [sys.executable, "-m", f"mtl_pipeline.{module}", PIPELINE, *options]

    def run(self, *options: str, code: int = 0, module: str = "run") -> str:
        """What the command shows, as one line."""
        command = self.command(*options, module=module)
        ended = subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True)
        assert ended.returncode == code, ended.stdout + ended.stderr
        return " ".join((ended.stdout + ended.stderr).split())

    def declare(self, **changes: object) -> None:
        attributes = tiny_spec().model_dump(mode="json", exclude_unset=True) | changes
        folder = self.root / f"recommender/defs/{PIPELINE}"
        folder.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump({"type": COMPONENT_TYPE, "attributes": attributes})
        (folder / "defs.yaml").write_text(text)

    def made(self) -> set[str]:
        """By all runs since the one that made everything, of which there are the events only."""
        records = self.instance.get_runs()
        logs = [self.instance.all_logs(run.run_id) for run in records]
        events = [entry.dagster_event for log in logs for entry in log if entry.dagster_event]
        made = [event.asset_key for event in events if event.is_step_materialization]
        return {key.path[-1] for key in made if key}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    ignored = shutil.ignore_patterns("defs")
    shutil.copytree(REPOSITORY / "mtl_pipeline", folder / "mtl_pipeline", ignore=ignored)
    return folder


@pytest.fixture(scope="module")
def remembered(made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lasting $DAGSTER_HOME that knows the run which made everything."""
    home = tmp_path_factory.mktemp("home")
    shutil.copy(REPOSITORY / "dagster.yaml", home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        with dg.DagsterInstance.get() as instance:
            for file in made_once.glob("run-*.json"):
                for event in deserialize_value(file.read_text(), DebugRunPayload).event_list:
                    instance.event_log_storage.store_event(event)
    return home


@pytest.fixture
def project(
    made_once: Path, remembered: Path, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[UserProject]:
    root, home = tmp_path / "project", tmp_path / "home"
    shutil.copytree(made_once / "root", root, symlinks=True)
    (root / "pyproject.toml").write_text(PROJECT)
    shutil.copytree(remembered, home)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.get() as instance:
        project = UserProject(root, installed, instance)
        project.declare()
        yield project


def test_only_what_changed_is_made_again(project: UserProject) -> None:
    said = project.run()
    assert said.startswith(f"{PIPELINE}: nothing to make. Raw files, SQL and settings are as they were")
    assert "Warnings: " in said
    assert project.made() == set()

    project.declare(recommendations={"score": "watched"})
    said = project.run()
    assert (
        f"{PIPELINE}: 1 of 12 assets are out of date recommendations: settings in defs.yaml, SQL or QUICK changed"
        in said
    )
    assert re.search(r"recommendations \d+ for 60 users, of \d+,\d+ candidates \(\d+\.\d s\)", said)
    assert f"{PIPELINE}: made 1 asset in" in said
    assert project.made() == {"recommendations"}


def test_own_assets_nested_folders_and_closed_pipes_are_no_obstacle(project: UserProject) -> None:
    defs = project.root / "recommender/defs"
    (defs / PIPELINE).rename(defs / "elsewhere")
    (defs / "team").mkdir()
    (defs / "elsewhere").rename(defs / "team" / PIPELINE)
    (defs / "mine.py").write_text(
        f"import dagster as dg\n\n\n@dg.asset(group_name='{PIPELINE}')\ndef raw_report() -> None: ...\n"
    )
    process = subprocess.Popen(
        project.command(), cwd=project.root, env=project.environment, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()  # as `| head -0` does
    assert process.wait(SECONDS_TO_START) == 0
    assert project.made() == {"raw_report"}
    assert "nothing to make. Raw files, SQL and settings are as they were when its 13 assets" in project.run()


def test_training_waits_until_the_split_is_mended(project: UserProject) -> None:
    ratings = project.pipeline.paths.raw / "ratings.csv"
    rows = [line.split(",") for line in ratings.read_text().splitlines()]
    latest = sorted(row[3] for row in rows if row[3:] and row[3].isdigit())[1_000]
    for number, row in enumerate(rows):
        if row[3:] and latest < row[3] < "a":
            row[2] = "4"
        if number % 7 == 1:
            row[2] = "six"
    ratings.write_text("".join(",".join(row) + "\n" for row in rows))

    said = project.run(code=1)
    assert "interactions: ratings.csv changed" in said
    assert "warning rejected_rows breaks the rule rejections_rare: " in said
    assert "interactions rating not a whole number 215 14" in said, (
        "the reason, how many, and where the first is"
    )
    assert "ratings.csv:2" in said
    assert "warning examples breaks the rule labels_vary_in_validation_and_test: " in said
    assert "split task every_label validation" in said
    assert said.endswith(
        "Widen the split, or check how the labels are made. - To train all the same: --anyway (make run ANYWAY=1) "
        "What was made is kept. Mend this and run the same again: it goes on from there."
    )
    assert project.made() == {"interactions", "rejected_rows", "examples"}


def test_what_the_user_can_mend_is_said_in_a_sentence(project: UserProject) -> None:
    file = project.pipeline.paths.raw / "users.csv"
    content = file.read_text()
    file.unlink()
    assert project.run(code=1).startswith(f"{file} is missing: ")

    file.write_text(content.replace("gender", "gendr"))
    project.declare(seed="many")
    said = project.run(code=1)
    assert re.search(r"\S+/defs\.yaml:\d+: seed: Input should be a valid integer", said)
    assert "Traceback" not in said
    said = project.run(code=1, module="rollback")
    assert "seed: Input should be a valid integer" in said
    assert "Traceback" not in said
    assert "multi_task" in project.run(module="summary"), "what was made is shown all the same"


def test_an_error_that_nobody_expected_shows_where_it_is(project: UserProject) -> None:
    workflow = project.installed / "mtl_pipeline/workflows/embed.py"
    source = workflow.read_text()
    try:
        workflow.write_text(source.replace("return embed_texts(", "return {}['absent'] or embed_texts("))
        said = project.run("user_embeddings", code=1)
    finally:
        workflow.write_text(source)
    assert "FAILED user_embeddings: KeyError: 'absent'" in said
    assert "workflows/embed.py" in said
    assert "dagster/_core" not in said


def test_ctrl_c_stops_the_run_and_leaves_it_ended(project: UserProject) -> None:
    process = subprocess.Popen(
        project.command("--all"),
        cwd=project.root,
        env=project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + SECONDS_TO_START
    while not project.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=SECONDS_TO_START)
    assert process.returncode == 130, said
    assert f"{PIPELINE}: stopped." in said
    assert "Traceback" not in said
    assert project.instance.get_runs(limit=1)[0].status == dg.DagsterRunStatus.FAILURE
    again = re.search(r"examples[^:]*: not checked yet", project.run())
    assert not again, "what the run did not come to is as it was"
