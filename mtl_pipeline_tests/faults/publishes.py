"""Publishing as it is at its worst: several writers and readers at once, and writers that are killed at any moment.

`race` and `kill_writers` raise AssertionError where a reader saw what nobody published, or anything is left over.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

from mtl_pipeline.publishing import publish_file, publish_folder, reading
from mtl_pipeline_tests.faults.processes import PROCESSES

FILES = ("examples", "statistics", "vocabulary")


@dataclass(frozen=True)
class Race:
    publishes: int
    reads: int
    versions_seen: int


def publish(target: Path, tag: str) -> None:
    """A version whose files all say the same, and a single file."""
    with publish_folder(target) as folder:
        for name in FILES:
            (folder / name).write_text(tag * 1_000)
    with publish_file(target.with_name("single")) as file:
        file.write_text(tag * 1_000)


def read(target: Path) -> str:
    """What all files of the version say."""
    with reading(target) as version:
        contents = [(version / FILES[0]).read_text()]
        time.sleep(random.random() / 1_000)  # the link is swapped meanwhile
        contents += [(version / name).read_text() for name in FILES[1:]]
    assert len(set(contents)) == 1, "a mixed version"
    single = target.with_name("single").read_text()
    assert single == single[: len(single) // 1_000] * 1_000, "half a file"
    return contents[0][: len(contents[0]) // 1_000]


def write_many(target: Path, writer: int, publishes: int) -> None:
    for number in range(publishes):
        publish(target, f"{writer}-{number:06}.")


def read_many(target: Path, finished: Event, seen: Queue) -> None:
    tags: set[str] = set()
    reads = 0
    while not finished.is_set():
        tags.add(read(target))
        reads += 1
    seen.put((reads, tags))


def race(target: Path, publishes: int, *, writers: int = 2, readers: int = 4, copied: bool = False) -> Race:
    """So many publishes in all, by several writers against several readers, each in a process of its own.

    `copied`: a copy has put a real folder in the place of the link before.
    """
    publish(target, "first.")
    if copied:
        version = target.resolve()
        target.unlink()
        version.rename(target)
    finished, seen = PROCESSES.Event(), PROCESSES.Queue()
    reading_ = [PROCESSES.Process(target=read_many, args=(target, finished, seen)) for _ in range(readers)]
    writing = [
        PROCESSES.Process(target=write_many, args=(target, number, publishes // writers))
        for number in range(writers)
    ]
    for process in (*reading_, *writing):
        process.start()
    for process in writing:
        process.join()
    finished.set()
    results = [seen.get(timeout=60) for _ in reading_]
    for process in reading_:
        process.join()
    assert [process.exitcode for process in (*writing, *reading_)] == [0] * (writers + readers)
    refuse_leftovers(target)
    return Race(publishes, sum(reads for reads, _ in results), len(set.union(*(tags for _, tags in results))))


def kill_writers(target: Path, kills: int, *, seed: int = 0) -> None:
    """Kill a writer at a random moment, so many times: what it leaves is whole, and goes at the next publishing."""
    publish(target, "first.")
    draw = random.Random(seed)
    for number in range(kills):
        process = PROCESSES.Process(target=write_many, args=(target, number, 1_000_000))
        before = read(target)
        process.start()
        while read(target) == before:
            assert process.is_alive()
        time.sleep(draw.random() / 50)
        process.kill()
        process.join()
        read(target)
    refuse_leftovers(target)


def refuse_leftovers(target: Path) -> None:
    """After one more publishing, by whoever comes next, there is what is published, and nothing else."""
    publish(target, "last.")
    found = {path.name for path in target.parent.iterdir()}
    assert found == {target.name, target.resolve().name, "single"}, f"left over: {sorted(found)}"
    assert read(target) == "last."
