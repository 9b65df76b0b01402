"""Files that a user has fetched are put into place; missing ones are asked for."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from mtl_pipeline.demo.__main__ import main
from mtl_pipeline.paths import ROOT_VARIABLE, PipelinePaths


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PipelinePaths:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "root"))
    return PipelinePaths(tmp_path / "root", "deskdrop")


def test_plain_files_and_archives_are_put_into_place(paths: PipelinePaths, tmp_path: Path) -> None:
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    (fetched / "shared_articles.csv").write_text("articles")
    (fetched / "notes.txt").write_text("not asked for")
    with zipfile.ZipFile(fetched / "archive.zip", "w") as archive:
        archive.writestr("deep/users_interactions.csv", "events")
        archive.writestr("../evil.csv", "not asked for either")
    assert main(["deskdrop", "--from", str(fetched)]) == 0
    assert {path.name: path.read_text() for path in paths.raw.iterdir()} == {
        "shared_articles.csv": "articles",
        "users_interactions.csv": "events",
    }
    assert main(["deskdrop"]) == 0


def test_missing_files_are_named_with_where_to_get_them(
    paths: PipelinePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deskdrop"]) == 1
    message = capsys.readouterr().err
    assert f"{paths.raw} lacks *articles.csv and users_interactions.csv" in message
    assert "kaggle.com" in message
    assert "FROM=" in message
