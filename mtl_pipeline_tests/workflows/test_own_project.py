"""The built wheel in somebody's own project, without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mtl_pipeline_tests.conftest import PIPELINE, REPOSITORY, SMALL_SETTINGS, write_tiny_pipeline

PROJECT = """\
[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "recommender"
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the wheel was installed. It is built of a copy, so that nothing is left in the checkout."""
    source, wheels, target = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "installed"))
    shutil.copytree(REPOSITORY / "mtl_pipeline", source / "mtl_pipeline")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "--no-build-isolation", "-w", wheels, source], check=True)
    subprocess.run([*pip, "install", *offline, "--target", target, *wheels.glob("*.whl")], check=True)
    return target


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Pyproject.toml, a pipeline with a defs.yaml, SQL and CSV files, and no line of Python."""
    root = tmp_path / "project"
    write_tiny_pipeline(root)
    for folder in (root / "sql").iterdir():
        if folder.name != PIPELINE:
            shutil.rmtree(folder)
    (root / "pyproject.toml").write_text(PROJECT)
    declared = yaml.safe_load((REPOSITORY / f"mtl_pipeline/defs/{PIPELINE}/defs.yaml").read_text())
    declared["attributes"] |= SMALL_SETTINGS | {"training": {"epochs": 1, "batch_size": 512, "guard": False}}
    defs = root / f"recommender/defs/{PIPELINE}"
    defs.mkdir(parents=True)
    (defs / "defs.yaml").write_text(yaml.safe_dump(declared))
    return root


def run(installed: Path, project: Path, *arguments: str) -> str:
    """What a Python that knows the installed package, and not the checkout, prints in the project's folder."""
    environment = {name: value for name, value in os.environ.items() if name != "MTL_PIPELINE_ROOT"}
    environment["PYTHONPATH"] = str(installed)
    command = [sys.executable, *arguments]
    finished = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_a_pipeline_of_ones_own_runs_by_the_wheel(installed: Path, project: Path) -> None:
    assert run(installed, project, "-c", "import mtl_pipeline; print(mtl_pipeline.__path__[0])").startswith(
        str(installed)
    )
    assert not (installed / "mtl_pipeline/defs").exists()
    stages = ["users", "items", "interactions", "rejected_rows", "item_embeddings", "user_embeddings"]
    stages += ["examples", "model"]
    printed = run(installed, project, "-m", "mtl_pipeline.workflows", PIPELINE, *stages)
    assert "model: made in " in printed
    assert (project / f"data/{PIPELINE}/model/model.safetensors").is_file()


def test_dagster_loads_it_and_makes_its_tables(installed: Path, project: Path) -> None:
    command = ["-m", "dagster", "asset", "materialize", "-m", "mtl_pipeline.definitions"]
    run(installed, project, *command, "--select", f'key:"{PIPELINE}/items"')
    assert (project / f"data/{PIPELINE}/warehouse.duckdb").is_file()


def test_a_new_pipeline_is_written_into_the_project(installed: Path, project: Path) -> None:
    printed = run(installed, project, "-m", "mtl_pipeline.scaffold", "shop")
    assert "wrote recommender/defs/shop/defs.yaml" in printed
    assert printed.endswith("3. Run it: python -m mtl_pipeline.run shop\n")
    assert (project / "sql/shop/items.sql").is_file()
