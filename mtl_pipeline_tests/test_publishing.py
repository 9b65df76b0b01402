"""Publishing against readers, other writers, copies, full disks and runs that are killed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import polars as pl
import pytest

from mtl_pipeline.errors import UserError
from mtl_pipeline.publishing import (
    ensure_writable,
    folder_fingerprint,
    hidden_sibling,
    one_version_each,
    publish_file,
    publish_folder,
    reading,
)
from mtl_pipeline_tests.faults.flips import flip
from mtl_pipeline_tests.faults.processes import PROCESSES
from mtl_pipeline_tests.faults.publishes import FILES, kill_writers, publish, race, read


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data" / "examples"


@pytest.mark.parametrize("copied", [False, True])
def test_two_writers_race_four_readers(target: Path, copied: bool) -> None:
    result = race(target, 60, copied=copied)

    assert result.versions_seen > 1
    assert result.reads > 60


def test_killed_writers_leave_nothing_behind(target: Path) -> None:
    kill_writers(target, 3)


def test_a_version_stays_for_as_long_as_somebody_reads_it(target: Path) -> None:
    publish(target, "old.")
    with reading(target) as version:
        publish(target, "new.")
        assert (version / FILES[2]).read_text().startswith("old.")
    publish(target, "newest.")

    assert not version.exists()


def test_of_two_writers_at_once_the_last_swap_wins(target: Path) -> None:
    with publish_folder(target) as first:
        (first / "file").write_text("first")
        with publish_folder(target) as second:
            (second / "file").write_text("second")
    assert (target / "file").read_text() == "first"

    assert not second.exists()


def test_a_failure_leaves_what_was_published(target: Path) -> None:
    publish(target, "old.")
    with pytest.raises(TypeError), publish_folder(target) as folder:
        (folder / FILES[0]).write_text(b"not a text")  # type: ignore[arg-type]
    with pytest.raises(TypeError), publish_file(target.with_name("single")) as file:
        file.write_text(b"not a text")  # type: ignore[arg-type]

    assert read(target) == "old."
    assert len(list(target.parent.iterdir())) == 3


def test_leftovers_of_earlier_versions_of_this_project_go_too(target: Path) -> None:
    publish(target, "old.")
    hidden_sibling(target).mkdir()
    hidden_sibling(target).write_text("a killed publish_file")
    target.with_name(f"{hidden_sibling(target).name}.link").symlink_to("nowhere")
    kept = [target.with_name(".examples.lock"), hidden_sibling(target.with_name("examples.parquet"))]
    for other in kept:
        other.write_text("of somebody else")
    publish(target, "new.")

    assert set(target.parent.iterdir()) == {target, target.resolve(), target.with_name("single"), *kept}


def test_publishing_goes_on_where_a_copy_has_made_folders_of_links(target: Path, tmp_path: Path) -> None:
    publish(target, "old.")
    shutil.copytree(target.parent, tmp_path / "copy")  # like cp -rL
    copy = tmp_path / "copy" / target.name
    assert not copy.is_symlink()
    with reading(copy) as version:
        publish(copy, "new.")
        assert (version / FILES[0]).read_text().startswith("old.")
    publish(copy, "newest.")

    assert read(copy) == "newest."
    assert set(copy.parent.iterdir()) == {copy, copy.resolve(), copy.with_name("single")}


def test_one_piece_of_work_sees_one_version(target: Path) -> None:
    publish(target, "old.")
    before = folder_fingerprint(target)
    with one_version_each():
        with reading(target) as first:
            pass
        publish(target, "new.")
        with reading(target) as second:
            assert read(target) == "old."
        assert folder_fingerprint(target) == before
    assert first == second

    assert read(target) == "new."


def test_what_does_not_exist_says_what_to_materialize(target: Path) -> None:
    with pytest.raises(UserError, match="examples does not exist yet: materialize examples"), reading(target):
        pass


def test_a_full_disk_is_found_before_the_work(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(target, "old.")
    ensure_writable(target)
    monkeypatch.setattr("mtl_pipeline.publishing.published_bytes", lambda target: 1 << 60)
    with pytest.raises(UserError, match=r"examples cannot be written \(it needs .* bytes"):
        ensure_writable(target)

    assert read(target) == "old."
    assert len(list(target.parent.iterdir())) == 3


@pytest.mark.parametrize(
    "write",
    [lambda full: full.write(bytes(100_000)), lambda full: pl.DataFrame({"a": [1]}).write_parquet(full)],
)
def test_a_disk_that_fills_up_while_writing_is_named(target: Path, write) -> None:
    publish(target, "old.")
    with (
        pytest.raises(UserError, match=r"examples cannot be written .*No space left"),
        publish_folder(target),
        open("/dev/full", "wb") as full,  # noqa: PTH123
    ):
        write(full)

    assert read(target) == "old."


def test_a_target_that_must_not_be_written_is_found_before_the_work(target: Path) -> None:
    """Also for root, whom permissions do not stop."""
    target.parent.parent.mkdir(exist_ok=True)
    target.parent.write_text("a file where a folder belongs")

    with pytest.raises(UserError, match="examples cannot be written"):
        ensure_writable(target)


@pytest.mark.parametrize(
    "damage, named",
    [
        (lambda folder: flip(folder / FILES[1], 77), "statistics"),
        (lambda folder: (folder / FILES[1]).unlink(), "statistics"),
        (lambda folder: (folder / "more").write_text(""), "more"),
        (lambda folder: flip(folder / "SHA256SUMS", 77), ""),
        (lambda folder: (folder / "SHA256SUMS").unlink(), "holds no SHA256SUMS"),
    ],
)
def test_a_damaged_version_is_refused_and_named(target: Path, damage, named: str) -> None:
    publish(target, "old.")
    damage(target)

    with pytest.raises(UserError, match=f"examples .*{named}.*: materialize examples again"), reading(target):
        pass


def test_fingerprints_are_what_they_were_before_there_were_checksums(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with publish_folder(tmp_path / "published") as folder:
        for other in (folder, tmp_path / "plain"):
            (other / "config.json").write_text("{}")

    assert folder_fingerprint(tmp_path / "published") == folder_fingerprint(tmp_path / "plain")


def test_a_reader_in_another_process_keeps_its_version(target: Path) -> None:
    publish(target, "old.")
    opened, done = PROCESSES.Event(), PROCESSES.Event()
    reader = PROCESSES.Process(target=hold, args=(target, opened, done))
    reader.start()
    assert opened.wait(60)
    publish(target, "new.")
    done.set()
    reader.join()

    assert reader.exitcode == 0


def hold(target: Path, opened, done) -> None:
    with reading(target) as version:
        opened.set()
        assert done.wait(60)
        assert sorted(os.listdir(version)) == sorted([*FILES, "SHA256SUMS"])  # noqa: PTH208
