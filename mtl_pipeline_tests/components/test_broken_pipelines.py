"""A pipeline that cannot be used stops itself alone, and says why; CI refuses it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from mtl_pipeline.components import load_pipelines
from mtl_pipeline.errors import UserError
from mtl_pipeline_tests.components.orders import GOOD, REPOSITORY, Edit


def test_an_example_shows_once_its_raw_files_are_there(edit: Edit, root: Path) -> None:
    package = edit("attributes:", "attributes:\n  example: true")
    assert load_pipelines(package).assets
    shutil.rmtree(root / "data/orders/raw")
    assert not load_pipelines(package).assets
    (root / "data/orders/champion.jsonl").touch()
    assert load_pipelines(package).assets, "its champion can be rolled back"


BROKEN = {
    "key": ("numeric: [age]", "numbers: [age]", "defs.yaml:5: features.users.numbers: there is no such key"),
    "yaml": ("[age]", "[age", "not valid YAML: "),
    "type": (
        "mtl_pipeline.components.MultiTaskPipeline",
        "elsewhere.Pipeline",
        "No module named 'elsewhere'",
    ),
    "sql": ("numeric: [age]", "numeric: [size]", "sql/broken/users.sql delivers no column size"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_pipeline_does_not_stop_the_others(
    edit: Edit, root: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    """In its place there is one asset, which says why; so does its nightly run, if that is switched on."""
    old, new, reason = BROKEN[what]
    package = edit("", "")
    (package / "defs/broken").mkdir()
    (package / "defs/broken/defs.yaml").write_text(GOOD.replace(old, new))
    for files in ("sql", "data"):
        shutil.copytree(root / files / "orders", root / files / "broken")
    definitions = load_pipelines(package)

    graph = definitions.resolve_asset_graph()
    assert {key.path[-1] for key in graph.get_all_asset_keys() if key.path[0] == "broken"} == {"defs_yaml"}
    assert {key.path[-1] for key in graph.get_all_asset_keys() if key.path[0] == "orders"} > {"model"}
    asset = graph.get(dg.AssetKey(["broken", "defs_yaml"]))
    assert asset.group_name == "broken"
    assert reason in str(asset.metadata["reason"])
    assert reason in str(asset.description)
    assert reason in caplog.text
    schedule = definitions.get_schedule_def("broken_nightly")
    run = definitions.resolve_job_def(schedule.job_name).execute_in_process(raise_on_error=False)
    failure = run.failure_data_for_node("broken__defs_yaml")
    assert failure is not None
    assert failure.user_failure_data is not None
    assert reason in str(failure.user_failure_data.description)


def test_whatever_their_folders_are_called_broken_pipelines_stop_nothing(edit: Edit) -> None:
    package = edit("", "")
    for name in ("müll", "a-b", "a_b"):
        (package / "defs" / name).mkdir()
        (package / "defs" / name / "defs.yaml").write_text(GOOD.replace("[age]", "[age"))
    keys = load_pipelines(package).resolve_asset_graph().get_all_asset_keys()
    broken = sorted(key.path[0] for key in keys if key.path[-1] == "defs_yaml")
    assert [re.sub("_[0-9a-f]{8}$", "_…", name) for name in broken] == ["a_b", "a_b_…", "m_ll_…"]


def test_beside_python_files_a_broken_pipeline_stops_all(edit: Edit) -> None:
    """What they define could not be told from what is left out."""
    package = edit("numeric: [age]", "numbers: [age]")
    (package / "defs/more.py").write_text("import dagster as dg\n\n@dg.asset\ndef more() -> None: ...\n")
    with pytest.raises(UserError, match="numbers: there is no such key"):
        load_pipelines(package)


def test_ci_refuses_a_broken_pipeline(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "mtl_pipeline", tmp_path / "mtl_pipeline")
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    declared = tmp_path / "mtl_pipeline/defs/movielens/defs.yaml"
    declared.write_text(declared.read_text().replace("tasks:", "goals:"))
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-m", "mtl_pipeline.definitions"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert "goals: there is no such key; the keys are: raw, " in finished.stdout
