"""What a scaffold writes and says, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl_pipeline.components.context import PipelineContext
from mtl_pipeline.components.declaration import check_declaration
from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.scaffold import scaffold_pipeline
from mtl_pipeline.scaffold.__main__ import main
from mtl_pipeline_tests.scaffold.conftest import (
    EVENTS,
    IMPRESSIONS,
    ITEMS,
    RATINGS,
    Pipeline,
    Rows,
    Scaffold,
    build,
    write_csv,
)


def test_without_files_an_example_is_written(root: Path) -> None:
    paths, defs = PipelinePaths(root, "shop"), root / "mtl_pipeline/defs/shop"
    done = scaffold_pipeline(paths, defs, {})
    pipeline = Pipeline(paths, defs / "defs.yaml")
    assert [path.name for path in done.written[:4]] == [
        "defs.yaml",
        "users.sql",
        "items.sql",
        "interactions.sql",
    ]
    check_declaration(pipeline.defs, PipelineContext("shop", pipeline.spec, paths))
    build(pipeline)


@pytest.mark.parametrize("name", ["Shop", "my-shop", "1shop", "../shop", ""])
def test_names_are_lower_case_identifiers(root: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot name a pipeline: use lower-case letters"):
        scaffold_pipeline(PipelinePaths(root, name), root / "defs" / name, {})
    assert not list(root.iterdir())


@pytest.mark.parametrize(
    "taken", ["mtl_pipeline/defs/shop/defs.yaml", "sql/shop/old.sql", "data/shop/raw/my.csv"]
)
def test_nothing_is_overwritten(root: Path, tmp_path: Path, taken: str) -> None:
    (root / taken).parent.mkdir(parents=True)
    (root / taken).write_text("mine")
    file = write_csv(tmp_path / "my.csv", IMPRESSIONS)
    before = sorted(root.rglob("*"))
    with pytest.raises(UserError, match="exists already: remove it, or use --force; nothing was written"):
        scaffold_pipeline(
            PipelinePaths(root, "shop"), root / "mtl_pipeline/defs/shop", {"interactions": file}
        )
    assert sorted(root.rglob("*")) == before
    assert (root / taken).read_text() == "mine"


def test_force_writes_again(root: Path, tmp_path: Path) -> None:
    paths, defs = PipelinePaths(root, "shop"), root / "mtl_pipeline/defs/shop"
    scaffold_pipeline(paths, defs, {"interactions": write_csv(tmp_path / "log.csv", EVENTS)}, link=True)
    file = write_csv(tmp_path / "new/log.csv", IMPRESSIONS)
    scaffold_pipeline(paths, defs, {"interactions": file}, force=True)
    pipeline = Pipeline(paths, defs / "defs.yaml")
    assert [task.name for task in pipeline.spec.tasks] == ["click", "purchase"]
    assert (paths.raw / "log.csv").read_text() == file.read_text()
    assert "event_type" in (tmp_path / "log.csv").read_text(), "the file that was linked is left alone"


def test_files_that_lie_in_the_raw_folder_stay(root: Path) -> None:
    paths = PipelinePaths(root, "shop")
    paths.raw.mkdir(parents=True)
    file = write_csv(paths.raw / "log.csv", IMPRESSIONS)
    done = scaffold_pipeline(paths, root / "mtl_pipeline/defs/shop", {"interactions": file})
    assert file not in done.written
    assert file.is_file()


def test_refusals_name_the_file_and_what_to_do(scaffold: Scaffold, tmp_path: Path) -> None:
    strangers = [["code", "title"], *([f"Z{n}", f"No {n}"] for n in range(10))]
    with pytest.raises(
        UserError, match=r"no column of .*my_interactions.csv holds the ids of .*my_items.csv"
    ):
        scaffold(items=strangers, interactions=IMPRESSIONS)
    with pytest.raises(
        UserError, match=r"my_interactions\.csv has no column who; its columns are: visitorId, "
    ):
        scaffold(interactions=IMPRESSIONS, named={"user_id": "who"})
    with pytest.raises(UserError, match="--interactions is missing"):
        scaffold(items=ITEMS)
    with pytest.raises(UserError, match=r"my_interactions\.csv has no rows below its header"):
        scaffold(interactions=IMPRESSIONS[:1])


def test_command_line(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what it wrote, what it found, and where what must be decided."""
    (root / "pyproject.toml").write_text('[tool.dg.project]\nroot_module = "mtl_pipeline"\n')
    (root / "Makefile").touch()
    monkeypatch.setattr("mtl_pipeline.paths.__file__", str(root / "mtl_pipeline/paths.py"))
    log = write_csv(tmp_path / "log.csv", IMPRESSIONS)
    assert main(["shop", "--interactions", str(log), "--link"]) == 0
    said = capsys.readouterr().out
    decisions = [line for line in said.splitlines() if "DECIDE" in line]
    assert said.replace("\n".join(decisions), "…").splitlines() == [
        "wrote mtl_pipeline/defs/shop/defs.yaml",
        "wrote sql/shop/interactions.sql",
        "wrote data/shop/raw/log.csv",
        "",
        "found user_id: visitorId",
        "found item_id: sku",
        "found time: shownAt (milliseconds)",
        "found tasks: click, purchase",
        "found interactions, features or tasks: device, seconds_watched",
        "",
        "…",
        "",
        "1. Decide what is listed above; read the rules in sql/shop/ (docs/sql-contract.md).",
        "2. Check it, at no cost: "
        ".venv/bin/dagster asset list -m mtl_pipeline.definitions --select 'group:shop'",
        "3. Run it: make run PIPELINE=shop",
    ]
    lines = (root / "mtl_pipeline/defs/shop/defs.yaml").read_text().splitlines()
    for decision in decisions:
        file, number, text = decision.split(":", 2)
        assert file == "mtl_pipeline/defs/shop/defs.yaml"
        assert lines[int(number) - 1].strip() == f"#{text}"
    assert [decision.partition("DECIDE ")[2].split()[:3] for decision in decisions] == [
        ["which", "of", "these"],
        ["what", "to", "predict:"],
        ["whether", "the", "log"],
        ["what", "recommendations", "are"],
    ]
    assert (root / "data/shop/raw/log.csv").readlink() == log
    assert main(["shop", "--interactions", str(log)]) == 1
    assert "defs/shop exists already" in capsys.readouterr().err


def test_a_file_without_a_header_is_told(scaffold: Scaffold) -> None:
    with pytest.raises(UserError, match=r"line 1 looks like a row.*: --interactions-columns"):
        scaffold(interactions=RATINGS[:0:-1])


def test_where_nothing_can_be_learned_nothing_is_written(scaffold: Scaffold, root: Path) -> None:
    pairs: Rows = [["user_id", "item_id"], *([n % 20, n // 20] for n in range(200))]
    with pytest.raises(UserError, match="no column looks like a label"):
        scaffold(interactions=pairs)
    assert not list(root.iterdir())
