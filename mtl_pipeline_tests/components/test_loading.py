"""A wrong defs.yaml is refused with its file and line, what is wrong, and what is allowed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mtl_pipeline.components import load_pipelines
from mtl_pipeline.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[2]

GOOD = """\
type: mtl_pipeline.components.MultiTaskPipeline
attributes:
  features:
    users:
      numeric: [age]
  tasks:
    - {name: click, kind: binary}
    - name: purchase
      kind: binary
      given: click
"""

Edit = Callable[[str, str], Path]


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """Write the good defs.yaml with one replacement; returns the package to load."""
    package = tmp_path / "shop"
    folder = package / "defs" / "orders"
    folder.mkdir(parents=True)
    for module in (package, package / "defs"):
        (module / "__init__.py").touch()
    settings = (REPOSITORY / "pyproject.toml").read_text().replace('"mtl_pipeline', '"shop')
    (tmp_path / "pyproject.toml").write_text(settings)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "shop"]:
        monkeypatch.delitem(sys.modules, name)

    def write(old: str, new: str) -> Path:
        assert old in GOOD
        (folder / "defs.yaml").write_text(GOOD.replace(old, new))
        return package

    return write


def test_the_folder_names_the_pipeline(edit: Edit) -> None:
    definitions = load_pipelines(edit("", ""))
    assert {key.path[0] for key in definitions.resolve_asset_graph().get_all_asset_keys()} == {"orders"}


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        (
            "numeric:",
            "numbers:",
            5,
            "features.users.numbers: there is no such key; the keys are: categorical, numeric",
        ),
        (
            "  tasks:\n",
            "  model: {depth: 3}\n  tasks:\n",
            6,
            "model.depth: there is no such key; the keys are: architecture, ",
        ),
        (
            "      kind: binary",
            "      kind: binery",
            9,
            "tasks.1.kind: Input should be 'binary', 'regression', 'count' or 'multiclass' (got 'binery')",
        ),
        (
            "given: click",
            "given: clack",
            2,
            "task purchase: given names 'clack'; the other tasks are: click",
        ),
        (
            "numeric: [age]",
            "numeric: age",
            5,
            "features.users.numeric: Input should be a valid array (got 'age')",
        ),
    ],
)
def test_message_names_file_line_and_what_is_allowed(
    edit: Edit, old: str, new: str, line: int, message: str
) -> None:
    package = edit(old, new)
    with pytest.raises(UserError) as error:
        load_pipelines(package)
    assert f"{package}/defs/orders/defs.yaml:{line}: {message}" in str(error.value)


def test_missing_attributes(edit: Edit) -> None:
    package = edit(GOOD[GOOD.index("attributes") :], "")
    with pytest.raises(UserError, match=r"defs\.yaml: attributes is missing"):
        load_pipelines(package)


def test_broken_yaml(edit: Edit) -> None:
    package = edit("[age]", "[age")
    with pytest.raises(UserError, match=r'not valid YAML: (.|\n)*defs\.yaml", line \d+'):
        load_pipelines(package)


def test_command_line_ends_with_the_message(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "mtl_pipeline", tmp_path / "mtl_pipeline")
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    declared = tmp_path / "mtl_pipeline/defs/movielens/defs.yaml"
    declared.write_text(declared.read_text().replace("tasks:", "goals:"))
    command = [sys.executable, "-m", "dagster", "asset", "list", "-m", "mtl_pipeline.definitions"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert "goals: there is no such key; the keys are: raw, " in finished.stderr.splitlines()[-1]
