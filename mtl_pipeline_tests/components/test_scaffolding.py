"""`dg scaffold defs` writes a pipeline that `dg check` takes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mtl_pipeline_tests.conftest import REPOSITORY

EXAMPLES = REPOSITORY / "mtl_pipeline/scaffold/templates/example"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """With what is compiled already: `dg` imports all of it."""
    for part in ("mtl_pipeline", "sql"):
        shutil.copytree(REPOSITORY / part, tmp_path / part)
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    return tmp_path


def dg(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(checkout), "VIRTUAL_ENV": sys.prefix}
    environment.pop("MTL_PIPELINE_ROOT", None)
    command = [str(Path(sys.executable).with_name("dg")), *arguments]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)


def test_dg_scaffolds_and_checks_a_pipeline(checkout: Path) -> None:
    files = [f"--{table}={EXAMPLES / f'{table}.csv'}" for table in ("users", "items", "interactions")]
    made = dg(checkout, "scaffold", "defs", "mtl_pipeline.components.MultiTaskPipeline", "orders", *files)
    assert made.returncode == 0, made.stderr
    assert "3. Run it: " in made.stdout
    written = {path.relative_to(checkout).as_posix() for path in checkout.rglob("*/orders/**/*.*")}
    assert written >= {
        "mtl_pipeline/defs/orders/defs.yaml",
        "sql/orders/interactions.sql",
        "data/orders/raw/items.csv",
    }
    checked = dg(checkout, "check", "yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_refusal_leaves_nothing_behind(checkout: Path) -> None:
    refused = dg(checkout, "scaffold", "defs", "mtl_pipeline.components.MultiTaskPipeline", "Orders")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith("'Orders' cannot name a pipeline: use lower-case")
    assert not (checkout / "mtl_pipeline/defs/Orders").exists()
