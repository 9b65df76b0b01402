"""`make demo PIPELINE=shop` simulates once, and never overwrites what it did not write."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl_pipeline.demo.__main__ import main

SMALL = ["shop", "--interactions", "10000"]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MTL_PIPELINE_ROOT", str(tmp_path))
    return tmp_path / "data" / "shop"


def written(data: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in data.rglob("*") if path.is_file()}


def test_a_second_run_keeps_the_files(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(SMALL) == 0
    before = written(data)
    assert {path.name for path in before} == {
        "users.csv",
        "items.csv",
        "interactions.csv",
        "truth.parquet",
        "planted.json",
    }

    assert main(SMALL) == 0

    assert written(data) == before
    assert "10,000 interactions of seed 0, with 56 dirty rows are there" in capsys.readouterr().out


@pytest.mark.parametrize("change", [["--seed", "1"], ["--force"]])
def test_another_seed_or_force_replaces_them(data: Path, change: list[str]) -> None:
    assert main(SMALL) == 0
    before = written(data)

    assert main([*SMALL, *change]) == 0

    after = written(data)
    assert after.keys() == before.keys()
    assert all(after[path] > before[path] for path in after)


def test_files_of_somebody_else_are_not_overwritten(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "raw").mkdir(parents=True)
    (data / "raw" / "users.csv").write_text("mine\n")

    assert main(SMALL) == 1

    assert "move them away, or replace them with --force" in capsys.readouterr().err
    assert (data / "raw" / "users.csv").read_text() == "mine\n"


def test_a_size_out_of_bounds_is_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shop", "--interactions", "5"]) == 1
    assert "5 is not between" in capsys.readouterr().err
