"""The same seed gives the same bytes, and what cannot be simulated is refused."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mtl_pipeline.errors import UserError
from mtl_pipeline.simulation import SCENARIOS, read_summary, simulate, writing
from mtl_pipeline.simulation.simulate import FILES


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_same_seed_gives_the_same_bytes_on_any_number_of_threads(
    scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate(scenario, tmp_path / "first", interactions=10_000, seed=3)
    monkeypatch.setattr(writing, "THREADS", 1)
    simulate(scenario, tmp_path / "second", interactions=10_000, seed=3)
    simulate(scenario, tmp_path / "other", interactions=10_000, seed=4)

    first, second, other = (contents(tmp_path / name) for name in ("first", "second", "other"))
    assert first == second
    assert all(first[name] != other[name] for name in FILES)


def test_the_summary_is_read_back_where_all_files_are_there(tmp_path: Path) -> None:
    summary = simulate("social", tmp_path, interactions=10_000, seed=0)
    assert read_summary(tmp_path) == summary

    (tmp_path / "truth.parquet").unlink()
    assert read_summary(tmp_path) is None


def test_progress_is_told_in_rows(tmp_path: Path) -> None:
    told: list[int] = []
    simulate("news", tmp_path, interactions=10_000, seed=0, on_progress=told.append)

    assert sum(told) == 10_000
    assert len(told) > 1


@pytest.mark.parametrize(
    "scenario, interactions, message",
    [
        ("bank", 10_000, "no scenario 'bank'; there are: shop, social, news"),
        ("shop", 9_999, "9,999 is not between 10,000 and 100,000,000"),
        ("shop", 100_000_001, "100,000,001 is not between"),
    ],
)
def test_what_cannot_be_simulated_is_refused(
    scenario: str, interactions: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        simulate(scenario, tmp_path, interactions=interactions, seed=0)
    assert list(tmp_path.iterdir()) == []


def test_a_negative_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="seed: -1 is below 0"):
        simulate("shop", tmp_path, interactions=10_000, seed=-1)


def test_a_failure_leaves_the_old_files(tmp_path: Path) -> None:
    simulate("shop", tmp_path, interactions=10_000, seed=0)
    before = contents(tmp_path)

    def fail(rows: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UserError, match="No space left"):
        simulate("shop", tmp_path, interactions=10_000, seed=1, on_progress=fail)
    assert contents(tmp_path) == before
    assert {path.name for path in tmp_path.rglob("*.*")} == {Path(name).name for name in FILES}


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "shop").write_text("a file where a folder belongs")

    with pytest.raises(UserError, match=r"shop/.* cannot be written"):
        simulate("shop", tmp_path / "shop", interactions=10_000, seed=0)
