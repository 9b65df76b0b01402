"""Promotions and rollbacks by two processes at once, while others read who the champion is."""

from __future__ import annotations

import random
import time
from multiprocessing.synchronize import Event
from pathlib import Path

from mtl_pipeline.champions import (
    Decision,
    carry_out,
    champion_folder,
    current_champion,
    model_fingerprint,
    read_history,
    roll_back,
)
from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import publish_folder
from mtl_pipeline_tests.faults.processes import PROCESSES

WRITERS, READERS = 2, 2


def race_promotions(root: Path, changes: int, seed: int) -> list[str]:
    """`changes` promotions and rollbacks by WRITERS processes against READERS. What was wrong."""
    paths = PipelinePaths(root, "raced")
    paths.data.mkdir(parents=True)
    promote(paths, random.Random(seed))
    done = PROCESSES.Event()
    faults = PROCESSES.SimpleQueue()
    readers = [PROCESSES.Process(target=read_on, args=(paths, done, faults)) for _ in range(READERS)]
    writers = [
        PROCESSES.Process(target=change, args=(paths, changes // WRITERS, seed + number, faults))
        for number in range(WRITERS)
    ]
    for process in (*readers, *writers):
        process.start()
    for process in writers:
        process.join()
    done.set()
    for process in readers:
        process.join()
    found = [
        f"a process ended with {process.exitcode}" for process in (*readers, *writers) if process.exitcode
    ]
    while not faults.empty():
        found.append(faults.get())
    history = read_history(paths)
    if len(history) < changes // 10:  # most are refused, since the other writer was faster
        found.append(f"of {changes} changes only {len(history)} are on record")
    return found


def change(paths: PipelinePaths, changes: int, seed: int, faults: object) -> None:
    rng = random.Random(seed)
    for _ in range(changes):
        try:
            if rng.random() < 0.7:
                promote(paths, rng)
            else:
                roll_back(paths)
        except UserError as error:
            # The other writer was faster, and this one is told so.
            if not any(word in str(error) for word in ("again", "nothing to go back to")):
                faults.put(f"a writer was told: {error}")  # type: ignore[attr-defined]


def promote(paths: PipelinePaths, rng: random.Random) -> None:
    with publish_folder(paths.model) as folder:
        (folder / "model.safetensors").write_bytes(rng.randbytes(20_000))
        fingerprint = model_fingerprint(folder)
    decision = Decision(
        name=f"{rng.random()}",
        challenger=fingerprint,
        champion=current_champion(read_history(paths)),
        promote=True,
        usable=True,
        reasons=[],
        comparisons=[],
    )
    carry_out(paths, decision, keep=5)


def read_on(paths: PipelinePaths, done: Event, faults: object) -> None:
    """The champion that is named can be read, and is the model of that name, at every moment."""
    while not done.is_set():
        name, folder = champion_folder(paths)
        try:
            if model_fingerprint(folder) != name:
                faults.put(f"{name} is not what its folder holds")  # type: ignore[attr-defined]
        except FileNotFoundError:
            if champion_folder(paths)[0] == name:
                faults.put(f"{name} is the champion, and gone")  # type: ignore[attr-defined]
        time.sleep(0.001)
