"""The champion's files: what is on disk after promotions, refusals, rollbacks and accidents."""

from __future__ import annotations

import shutil
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest

from mtl_pipeline.champions import (
    Decision,
    carry_out,
    champion_folder,
    current_champion,
    earlier_champions,
    keep_version,
    model_fingerprint,
    read_history,
    reading_model,
    roll_back,
    rolled_back_at,
    short,
)
from mtl_pipeline.checksums import write_checksums
from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import publish_folder
from mtl_pipeline_tests.faults.flips import noticed


@pytest.fixture
def paths(tmp_path: Path) -> PipelinePaths:
    return PipelinePaths(tmp_path, "shop")


def train(paths: PipelinePaths, weights: str) -> str:
    """A new newest model."""
    with publish_folder(paths.model) as folder:
        (folder / "model.safetensors").write_text(weights)
        (folder / "training_log.json").write_text("[]")
    return model_fingerprint(paths.model)


def decision(paths: PipelinePaths, *, promote: bool = True, references: Sequence[str] = ()) -> Decision:
    """What an evaluation of the newest model against the champion said."""
    champion = current_champion(read_history(paths))
    challenger = model_fingerprint(paths.model)
    return Decision(
        name=uuid.uuid4().hex,
        challenger=challenger,
        champion=champion,
        promote=promote,
        usable=champion is not None,
        reasons=["Because."],
        comparisons=[],
        references=list(references),
    )


def night(
    paths: PipelinePaths,
    weights: str,
    *,
    promote: bool = True,
    keep: int = 5,
    references: Sequence[str] = (),
) -> str:
    fingerprint = train(paths, weights)
    carry_out(paths, decision(paths, promote=promote, references=references), keep=keep)
    return fingerprint


def champion(paths: PipelinePaths) -> str:
    """What recommends: read as recommendations read it."""
    _, folder = champion_folder(paths)
    return (folder / "model.safetensors").read_text()


def test_the_champion_outlives_the_newest_model(paths: PipelinePaths) -> None:
    night(paths, "good")
    night(paths, "bad", promote=False)
    assert champion(paths) == "good"
    assert [entry.action for entry in read_history(paths)] == ["promoted", "kept"]


def test_without_a_champion_what_to_do_is_said(paths: PipelinePaths) -> None:
    night(paths, "bad", promote=False)
    with pytest.raises(UserError, match="names no champion: materialize model, evaluation and champion"):
        champion_folder(paths)


def test_a_decision_is_carried_out_once(paths: PipelinePaths) -> None:
    night(paths, "first")
    train(paths, "second")
    promoted = decision(paths)
    entry = carry_out(paths, promoted, keep=5)
    assert carry_out(paths, promoted, keep=5) == entry
    roll_back(paths)
    carry_out(paths, promoted, keep=5)
    assert champion(paths) == "first", "an old decision does not undo a rollback"


def test_a_decision_about_other_models_is_refused(paths: PipelinePaths) -> None:
    night(paths, "first")
    train(paths, "second")
    promoted = decision(paths)
    train(paths, "third")
    with pytest.raises(UserError, match="made again since the evaluation"):
        carry_out(paths, promoted, keep=5)
    promoted = decision(paths)
    night(paths, "fourth")
    with pytest.raises(UserError, match="champion has changed since the evaluation"):
        carry_out(paths, promoted, keep=5)
    assert champion(paths) == "fourth"


@pytest.mark.parametrize("killed_at", ["shutil.copytree", "pathlib.Path.rename", "os.replace"])
def test_a_promotion_that_is_killed_leaves_the_champion_and_can_be_done_again(
    paths: PipelinePaths, killed_at: str
) -> None:
    night(paths, "first")
    train(paths, "second")
    promoted = decision(paths)
    with publish_folder(paths.evaluation) as folder:
        promoted.write(folder / "decision.json")
    module, _, name = killed_at.rpartition(".")
    code = f"""
import os, pathlib, shutil, signal
from mtl_pipeline.champions import Decision, carry_out
from mtl_pipeline.paths import PipelinePaths
{module}.{name} = lambda *arguments, **others: os.kill(os.getpid(), signal.SIGKILL)
paths = PipelinePaths(pathlib.Path({str(paths.root)!r}), "shop")
carry_out(paths, Decision.read(paths.evaluation / "decision.json"), keep=5)
"""
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -9
    assert champion(paths) == "first"
    carry_out(paths, promoted, keep=5)
    assert champion(paths) == "second"
    assert sorted(folder.name for folder in paths.champions.iterdir()) == sorted(
        {str(entry.champion) for entry in read_history(paths)}
    )


def test_rollbacks_go_back_one_after_another(paths: PipelinePaths) -> None:
    for weights in ("a", "b", "c"):
        night(paths, weights)
    roll_back(paths)
    assert champion(paths) == "b"
    roll_back(paths)
    assert champion(paths) == "a"
    with pytest.raises(UserError, match="nothing to go back to"):
        roll_back(paths)
    assert champion(paths) == "a"


def test_a_rollback_can_name_its_model_and_be_taken_back(paths: PipelinePaths) -> None:
    first, _, last = (night(paths, weights) for weights in ("a", "b", "c"))
    roll_back(paths, first[:10])
    assert champion(paths) == "a"
    assert rolled_back_at(read_history(paths), last) is not None
    roll_back(paths, last)
    assert champion(paths) == "c"
    assert rolled_back_at(read_history(paths), last) is None


def test_a_rollback_to_an_unknown_model_names_the_known_ones(paths: PipelinePaths) -> None:
    first, last = night(paths, "a"), night(paths, "b")
    with pytest.raises(UserError, match=f"may go back to: {short(first)}$"):
        roll_back(paths, "nothing")
    with pytest.raises(UserError, match="the champion already"):
        roll_back(paths, last)


def test_only_the_last_champions_stay_on_disk(paths: PipelinePaths) -> None:
    fingerprints = [night(paths, weights, keep=2) for weights in "abcd"]
    assert {folder.name for folder in paths.champions.iterdir()} == set(fingerprints[-2:])
    roll_back(paths)
    night(paths, "e", promote=False, keep=2)
    assert champion(paths) == "c"


def test_the_best_champion_stays_on_disk_as_long_as_challengers_are_measured_by_it(
    paths: PipelinePaths,
) -> None:
    best = night(paths, "a")
    for weights in "bcd":
        night(paths, weights, keep=2, references=[best])
    assert best in earlier_champions(paths, read_history(paths))
    night(paths, "e", promote=False, keep=2)
    assert (paths.champions / best).is_dir(), "who is refused takes nobody's place"
    night(paths, "f", keep=2)
    assert best not in earlier_champions(paths, read_history(paths))


def test_what_was_rolled_back_from_is_no_reference(paths: PipelinePaths) -> None:
    """It may have looked so good because of what made somebody go back."""
    first, bad = night(paths, "a"), night(paths, "b")
    roll_back(paths)
    third = night(paths, "c")
    assert earlier_champions(paths, read_history(paths)) == [first]
    night(paths, "d")
    assert earlier_champions(paths, read_history(paths)) == [first, third]
    assert earlier_champions(paths, read_history(paths), bad[:8]) == [bad], "unless it is named"
    with pytest.raises(UserError, match=r"promotion\.reference names 123456, .* it may name: .*, or best"):
        earlier_champions(paths, read_history(paths), "123456")


@pytest.mark.parametrize("content", ["", '{"name": "a"}', "[]", "\0"])
def test_a_decision_of_another_version_is_not_carried_out(paths: PipelinePaths, content: str) -> None:
    with publish_folder(paths.evaluation) as folder:
        (folder / "decision.json").write_text(content)
    with pytest.raises(UserError, match=r"decision.json is of another version.*materialize evaluation again"):
        Decision.read(paths.evaluation / "decision.json")


def test_the_training_log_is_no_part_of_a_model(paths: PipelinePaths) -> None:
    before = train(paths, "a")
    (paths.model / "training_log.json").write_text("[1]")
    write_checksums(paths.model)
    assert model_fingerprint(paths.model) == before
    (paths.model / "calibration.json").write_text("{}")
    write_checksums(paths.model)
    assert model_fingerprint(paths.model) != before


@pytest.mark.parametrize(
    "line",
    [
        "",
        "null",
        '{"time": "2026',
        '{"time": "t", "action": "promoted", "champion": "../model", "model": "a", "reasons": []}',
        '{"time": "t", "action": "promoted", "champion": null, "model": "a", "reasons": [], "more": 1}',
        '{"time": "t", "action": "promoted", "champion": null, "model": "a", "reasons": "none"}',
        "[" * 100_000,
        "\ud800",
    ],
    ids=["blank", "null", "half-written", "a path", "extended", "another type", "deep", "not UTF-8"],
)
def test_a_damaged_line_of_the_history_is_named_and_nothing_is_lost(paths: PipelinePaths, line: str) -> None:
    night(paths, "first")
    with paths.champion_history.open("ab") as file:
        file.write(line.encode(errors="surrogatepass") + b"\n")
    before = paths.champion_history.read_bytes()
    for work in (lambda: champion(paths), lambda: roll_back(paths), lambda: night(paths, "second")):
        with pytest.raises(UserError, match=r"champion.jsonl, line 2: damaged, .*Remove the line"):
            work()
    assert paths.champion_history.read_bytes() == before


def test_a_history_from_before_lines_had_checksums_is_read(paths: PipelinePaths) -> None:
    night(paths, "first")
    (line,) = paths.champion_history.read_text().splitlines()
    paths.champion_history.write_text(line[: line.index(', "sha256"')] + "}\n")
    assert champion(paths) == "first"
    night(paths, "second")
    assert champion(paths) == "second"


def test_no_flipped_bit_of_the_history_is_believed(paths: PipelinePaths) -> None:
    night(paths, "first")
    night(paths, "second")
    bits = range(0, paths.champion_history.stat().st_size * 8, 13)
    assert noticed(paths.champion_history, bits, lambda: read_history(paths), "champion.jsonl, line")


def test_a_damaged_champion_is_refused_and_replaced_by_the_next_promotion_of_it(paths: PipelinePaths) -> None:
    night(paths, "first")
    name, folder = champion_folder(paths)
    (folder / "model.safetensors").write_text("flipped")
    with pytest.raises(UserError, match=f"{name} is damaged, .*make rollback"), reading_model(folder):
        pass
    keep_version(paths, name)
    with reading_model(folder) as whole:
        assert (whole / "model.safetensors").read_text() == "first"


def test_a_rollback_passes_over_what_is_damaged(paths: PipelinePaths) -> None:
    first, second, third = night(paths, "one"), night(paths, "two"), night(paths, "three")
    (paths.champions / second / "model.safetensors").write_text("two!")
    with pytest.raises(
        UserError, match=f"no single model that was champion and is kept whole.*{short(first)}"
    ):
        roll_back(paths, to=second)
    assert current_champion(read_history(paths)) == third
    assert roll_back(paths).champion == first


def test_a_champion_that_somebody_reads_stays(paths: PipelinePaths) -> None:
    night(paths, "first", keep=1)
    _, folder = champion_folder(paths)
    with reading_model(folder) as model:
        night(paths, "second", keep=1)
        assert (model / "model.safetensors").read_text() == "first"
    night(paths, "third", keep=1)
    assert not folder.exists()


def test_a_champion_that_is_the_newest_model_is_mended_by_the_next_evaluation(paths: PipelinePaths) -> None:
    night(paths, "first")
    _, folder = champion_folder(paths)
    (folder / "model.safetensors").unlink()
    carry_out(paths, decision(paths, promote=False), keep=5)
    with reading_model(folder) as whole:
        assert (whole / "model.safetensors").read_text() == "first"
    shutil.rmtree(folder)
    with pytest.raises(UserError, match="is gone: materialize model and evaluation"):
        reading_model(folder)
