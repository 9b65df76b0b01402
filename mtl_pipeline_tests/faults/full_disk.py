"""Each stage on a disk that is full after a few kilobytes: it fails and says so, and nothing published is harmed."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from mtl_pipeline_tests.conftest import TinyPipeline
from mtl_pipeline_tests.faults.kills import difference
from mtl_pipeline_tests.faults.processes import PROCESSES
from mtl_pipeline_tests.faults.stages import STAGES, copy_pipeline, published_apart, run_stage

DISK_MEGABYTES = 96
KILOBYTES_LEFT = (0, 4, 16, 64, 256)
SAYS_SO = ("space", "disk", "Disk", "full", "write")
"""One of these stands in every message about a full disk."""


def can_mount() -> bool:
    """Whether it works: it is not enough to be root, who may not in most containers."""
    if os.geteuid() or not shutil.which("mount"):
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder) / "disk"):
                return True
        except subprocess.CalledProcessError:
            return False


@contextmanager
def small_disk(folder: Path, size: str = f"{DISK_MEGABYTES}m") -> Iterator[Path]:
    """A file system of that size in memory. Raises CalledProcessError where mounting is not allowed."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill_disks(
    made: TinyPipeline, disk: Path, tries: int, seed: int, stages: Sequence[str] = tuple(STAGES)
) -> tuple[int, list[str]]:
    """Run stages with hardly any space left. How often one failed for it, and what was wrong."""
    rng = random.Random(seed)
    pipeline = copy_pipeline(made, disk / "root")
    before = published_apart(pipeline.root)
    failed, faults = 0, []
    for number in range(tries):
        name = stages[number % len(stages)]
        left = rng.choice(KILOBYTES_LEFT) * 1024
        error = run_on_full_disk(pipeline, name, left)
        failed += error is not None
        if error and not any(word in error for word in SAYS_SO):
            faults.append(f"{name} with {left:,} bytes left does not say that the disk is full: {error}")
        if (found := published_apart(pipeline.root)) != before:
            faults.append(
                f"{name} with {left:,} bytes left harmed what was published: {difference(before, found)}"
            )
    return failed, faults


def run_on_full_disk(pipeline: TinyPipeline, name: str, left: int) -> str | None:
    """Run one stage with so many bytes left. Its error, if it fails."""
    ballast = pipeline.root / "ballast"
    ballast.write_bytes(b"\0" * max(0, shutil.disk_usage(pipeline.root).free - left))
    try:
        with ProcessPoolExecutor(1, mp_context=PROCESSES) as pool:
            pool.submit(run_stage, pipeline.root, name).result()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        ballast.unlink()
    return None
