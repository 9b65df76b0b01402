"""Networks trained at once, each in a process of its own: the same networks, and no process that is left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
import torch

from mtl_pipeline.champions import model_fingerprint
from mtl_pipeline.errors import UserError
from mtl_pipeline.learning.data.dataset import Dataset
from mtl_pipeline.learning.ranker.provenance import TRAINED_WITH
from mtl_pipeline.learning.training import single_task
from mtl_pipeline.learning.training.at_once import side_by_side
from mtl_pipeline.learning.training.at_once.side_by_side import SideBySide, Wanted
from mtl_pipeline.learning.training.continuing.checkpoint import Checkpoints
from mtl_pipeline.learning.training.divergence import Diverged
from mtl_pipeline.learning.training.train import train_ranker
from mtl_pipeline.publishing import folder_fingerprint, one_version_each
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.features.examples import build_examples
from mtl_pipeline_tests.conftest import REPOSITORY, TinyPipeline

WANTED = [Wanted("watched", 0), Wanted("rating", 0), Wanted(None, 1), Wanted(None, 1, blind=True)]
SECONDS = 60


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two threads, and processes for any number of rows."""
    monkeypatch.setattr(side_by_side, "WORTH_PROCESSES", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def trained_for(pipeline: TinyPipeline, epochs: int, **training: object) -> PipelineSpec:
    settings = pipeline.spec.training.model_copy(update={"epochs": epochs, **training})
    return pipeline.spec.model_copy(update={"training": settings})


def one_beside(pipeline: TinyPipeline, spec: PipelineSpec) -> SideBySide:
    """One network, in a process, for whose sake nothing else waits."""
    return SideBySide(Dataset(pipeline.paths, spec), spec, WANTED[:1], busy=True)


def test_a_process_trains_the_network_that_one_thread_trains_here(prepared: TinyPipeline) -> None:
    spec = trained_for(prepared, 2)
    dataset, lines = Dataset(prepared.paths, spec), []
    with SideBySide(dataset, spec, WANTED, lambda of, line: lines.append((of, line))) as networks:
        assert len(networks.futures) == len(WANTED)
        assert torch.get_num_threads() == 1
        apart = [networks.ranker(wanted) for wanted in WANTED]
        here = [wanted.fit(dataset, spec, print, networks.checkpoints).ranker for wanted in WANTED]
    assert torch.get_num_threads() == 2
    for one, other in zip(apart, here, strict=True):
        assert one.tasks == other.tasks
        assert one.scale == other.scale
        for ours, theirs in zip(one.members, other.members, strict=True):
            assert ours.gives == theirs.gives
            for name, weights in theirs.weights.items():
                assert torch.equal(ours.weights[name], weights), name
        for task, values in other.predict_uncalibrated(dataset.validation).items():
            assert values == pytest.approx(one.predict_uncalibrated(dataset.validation)[task])
    assert {of for of, line in lines if "epoch" in line} == set(WANTED)


def test_one_place_is_left_to_what_is_done_here_until_a_network_is_waited_for(prepared: TinyPipeline) -> None:
    spec = trained_for(prepared, 1_000, patience=1_000)
    with SideBySide(Dataset(prepared.paths, spec), spec, WANTED[:2], busy=True) as networks:
        wait_until(lambda: len(networks.processes) == 1)
        time.sleep(1)
        assert len(networks.processes) == 1
        networks.idle.set()
        wait_until(lambda: len(networks.processes) == 2)


def test_what_is_kept_is_not_trained_and_takes_its_share_of_threads(prepared: TinyPipeline) -> None:
    spec = trained_for(prepared, 1)
    dataset = Dataset(prepared.paths, spec)
    kept = {wanted: wanted.fit(dataset, spec, print, Checkpoints()).ranker for wanted in WANTED[:2]}
    with SideBySide(dataset, spec, WANTED[:2], kept=kept, busy=True) as networks:
        assert torch.get_num_threads() == 1
        assert [networks.ranker(wanted) for wanted in WANTED[:2]] == [*kept.values()]
        assert not networks.processes


def test_the_model_is_the_same_whatever_is_trained_beside_it(
    prepared: TinyPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In processes, here one after the other, or before, by the same version of the code."""
    spec, paths = trained_for(prepared, 2), prepared.paths
    lines: list[str] = []
    said = pl.DataFrame({"task": [task.name for task in spec.tasks], "predicted_by": "mean"})

    def train() -> tuple[str, str, bool]:
        lines.clear()
        train_ranker(paths, spec, target=paths.model, judge=lambda rows: said, log=lines.append)
        trained = any("alone, epoch" in line for line in lines)
        own = folder_fingerprint(paths.single_task, without=[TRAINED_WITH])
        return model_fingerprint(paths.model), own, trained

    *at_once, trained = train()
    assert trained
    *again, trained = train()
    assert again == at_once
    assert not trained
    monkeypatch.setattr(single_task, "code_digest", lambda: "of the next version")
    torch.set_num_threads(1)
    *in_turn, trained = train()
    assert in_turn == at_once
    assert trained


def test_an_error_beside_is_told_at_the_next_line_of_what_is_done_here(prepared: TinyPipeline) -> None:
    spec = trained_for(prepared, 1_000, patience=1_000)
    with SideBySide(Dataset(prepared.paths, spec), spec, WANTED[:2], busy=True) as networks:
        say = networks.with_lines(print)
        wait_until(lambda: bool(networks.processes))
        say("a round")
        networks.processes[0].kill()
        wait_until(lambda: any(future.done() for future in networks.futures.values()))
        with pytest.raises(UserError, match="was killed by signal 9"):
            say("another round")


def test_a_network_that_nobody_thought_of_is_trained_here(prepared: TinyPipeline) -> None:
    spec = trained_for(prepared, 1)
    with SideBySide(Dataset(prepared.paths, spec), spec, WANTED[:2]) as networks:
        assert networks.ranker(Wanted("liked", 3)).members[0].gives == ("liked",)


def test_neither_the_working_directory_nor_what_is_printed_reaches_an_answer(
    prepared: TinyPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queue.py").write_text("raise ImportError")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "sitecustomize.py").write_text("print('hello')")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "noise"), str(REPOSITORY), *filter(None, sys.path)])
    with one_beside(prepared, trained_for(prepared, 1)) as networks:
        assert networks.ranker(WANTED[0]).members[0].gives == ("watched",)


def test_an_error_that_a_user_can_mend_arrives(prepared: TinyPipeline) -> None:
    spec = trained_for(prepared, 2, learning_rate=1e30)
    with (
        one_beside(prepared, spec) as networks,
        pytest.raises(
            Diverged, match=r"the network for watched, seed 0: training of watched diverged .*learning_rate"
        ),
    ):
        networks.ranker(WANTED[0])


def test_examples_that_are_made_anew_meanwhile_are_not_mixed(prepared: TinyPipeline) -> None:
    spec = trained_for(prepared, 2)
    dataset = Dataset(prepared.paths, spec)
    dataset.fingerprint = "of other examples"
    with (
        SideBySide(dataset, spec, WANTED[:1], busy=True) as networks,
        pytest.raises(UserError, match="made anew meanwhile"),
    ):
        networks.ranker(WANTED[0])


def test_examples_that_are_published_meanwhile_wait_for_the_next_run(prepared: TinyPipeline) -> None:
    spec = trained_for(prepared, 1)
    with one_version_each(), one_beside(prepared, spec) as networks:
        build_examples(prepared.paths, spec.model_copy(update={"seed": 5}))
        assert networks.ranker(WANTED[0]).members[0].gives == ("watched",)


def test_a_process_that_is_killed_is_named(prepared: TinyPipeline) -> None:
    spec = trained_for(prepared, 1_000, patience=1_000)
    with SideBySide(Dataset(prepared.paths, spec), spec, WANTED[:2]) as networks:
        wait_until(lambda: bool(networks.processes))
        networks.processes[0].kill()
        wait_until(lambda: any(future.done() for future in networks.futures.values()))
        with pytest.raises(UserError, match=r"seed 0 was killed by signal 9.*OMP_NUM_THREADS=1"):
            networks.ranker(still_training(networks))


def test_it_is_told_while_one_that_nobody_thought_of_is_trained_here(prepared: TinyPipeline) -> None:
    spec = trained_for(prepared, 1_000, patience=1_000)
    with SideBySide(Dataset(prepared.paths, spec), spec, WANTED[:2]) as networks:
        wait_until(lambda: bool(networks.processes))
        networks.processes[0].kill()
        with pytest.raises(UserError, match="was killed by signal 9"):
            networks.ranker(Wanted("liked", 3))


def still_training(networks: SideBySide) -> Wanted:
    (wanted,) = (wanted for wanted, future in networks.futures.items() if not future.done())
    return wanted


def test_leaving_early_ends_the_processes(prepared: TinyPipeline) -> None:
    spec = trained_for(prepared, 1_000, patience=1_000)
    with SideBySide(Dataset(prepared.paths, spec), spec, WANTED) as networks:
        wait_until(lambda: bool(networks.processes))
    assert all(process.poll() is not None for process in networks.processes)


ENDLESS = """
import sys
from mtl_pipeline.learning.training.at_once import side_by_side
from mtl_pipeline_tests.learning.test_side_by_side import WANTED, trained_for
from mtl_pipeline.warehouse.features.examples import build_examples
from mtl_pipeline_tests.conftest import TinyPipeline
import torch
from pathlib import Path
torch.set_num_threads(2)
side_by_side.WORTH_PROCESSES = 0
pipeline = TinyPipeline(Path(sys.argv[1]))
spec = trained_for(pipeline, 1_000, patience=1_000)
dataset = side_by_side.Dataset(pipeline.paths, spec)
with side_by_side.SideBySide(dataset, spec, WANTED[:2], lambda wanted, line: print(line, flush=True)) as networks:
    networks.ranker(WANTED[0])
"""


def test_processes_end_with_the_one_that_started_them(prepared: TinyPipeline) -> None:
    """However it ends."""
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(prepared.root)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert "epoch" in parent.stdout.readline()
        children = children_of(parent.pid)
        assert len(children) == 2
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(map(running, children)))


def children_of(pid: int) -> list[int]:
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=True)
    return [int(line) for line in listed.stdout.split()]


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)
