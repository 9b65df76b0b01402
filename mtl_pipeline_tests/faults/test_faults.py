"""A part of `make faults` that takes seconds: each kind of fault a few times."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl_pipeline_tests.conftest import TinyPipeline, write_tiny_pipeline
from mtl_pipeline_tests.faults.__main__ import report
from mtl_pipeline_tests.faults.embeddings import kill_embedding
from mtl_pipeline_tests.faults.files import Fuzzer
from mtl_pipeline_tests.faults.full_disk import can_mount, fill_disks, small_disk
from mtl_pipeline_tests.faults.kills import difference, kill_stages, time_stage
from mtl_pipeline_tests.faults.races import race_promotions

TABLES = ("users", "items", "interactions", "rejected_rows", "examples")
"""The stages that take less than a second."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> TinyPipeline:
    """Tables and examples, made."""
    pipeline = write_tiny_pipeline(tmp_path_factory.mktemp("faults") / "root")
    for stage in TABLES:
        time_stage(pipeline.root, stage)
    return pipeline


@pytest.mark.parametrize("threads", [1, 2])
def test_every_line_of_generated_files_is_where_it_belongs(tmp_path: Path, threads: int) -> None:
    fuzzer = Fuzzer.below(tmp_path, threads)
    outcomes = [fuzzer.try_one(seed) for seed in range(1_000_000 * threads, 1_000_000 * threads + 20)]
    assert [(found.name, found.faults) for found in outcomes if found.faults] == []


def test_the_champion_can_be_read_while_two_processes_promote_and_roll_back(tmp_path: Path) -> None:
    assert race_promotions(tmp_path, changes=40, seed=0) == []


def test_stages_that_are_killed_harm_nothing_and_leave_nothing(made: TinyPipeline) -> None:
    assert kill_stages(made, kills=len(TABLES), seed=0, stages=TABLES) == []


@pytest.mark.parametrize("damages", [False, True])
def test_an_embedding_that_is_killed_ends_as_one_that_is_not(tmp_path: Path, damages: bool) -> None:
    assert kill_embedding(tmp_path, kills=2, seed=0, damages=damages) == []


@pytest.mark.skipif(not can_mount(), reason="mounting a small disk needs root")
def test_stages_on_a_full_disk_fail_and_harm_nothing(made: TinyPipeline, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        failed, faults = fill_disks(made, disk, tries=len(TABLES), seed=0, stages=TABLES)
    assert faults == []
    assert failed


def test_an_output_that_is_gone_or_new_is_a_difference() -> None:
    assert difference({"model": "a", "users": "b"}, {"users": "b", "items": "c"}) == "changed: items, model"


def test_work_that_breaks_off_is_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> list[str]:
        raise RuntimeError("users fails undisturbed")

    assert not report("kills of stages", 1, work)
    assert "1 faults" in capsys.readouterr().out
