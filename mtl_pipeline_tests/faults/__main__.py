"""All faults that can be made on purpose, from a fixed seed, counted: `make faults`.

python -m mtl_pipeline_tests.faults [--seed 0] [--files 10000] [--kills 100] [--flips 20] [--publishes 1000] …
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mtl_pipeline_tests.conftest import TinyPipeline
from mtl_pipeline_tests.faults.embeddings import kill_embedding
from mtl_pipeline_tests.faults.files import fuzz_files
from mtl_pipeline_tests.faults.flips import flip_artifacts
from mtl_pipeline_tests.faults.full_disk import can_mount, fill_disks, small_disk
from mtl_pipeline_tests.faults.kills import kill_runs, kill_stages, kill_training
from mtl_pipeline_tests.faults.publishes import kill_writers, race
from mtl_pipeline_tests.faults.races import race_promotions
from mtl_pipeline_tests.faults.stages import copy_pipeline, make_pipeline

SHOWN = 20


def raised(work: Callable[[], object]) -> list[str]:
    """Nothing: where something is wrong, the work stops at it, by an exception."""
    work()
    return []


def main() -> int:
    parser = argparse.ArgumentParser(description="Make faults on purpose, and count what they do.")
    defaults = {"seed": 0, "files": 10_000, "kills": 100, "flips": 20, "publishes": 1_000, "promotions": 200}
    for name, default in (defaults | {"full-disks": 45, "trainings": 20, "embeddings": 20}).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        return 0 if all(list(try_all(wanted, Path(folder)))) else 1


def try_all(wanted: argparse.Namespace, root: Path) -> Iterator[bool]:
    """Whether each kind of fault did no harm."""
    seed = wanted.seed
    yield report("generated CSV files", wanted.files, lambda: fuzz_files(root, wanted.files, seed))
    yield report(
        "publishes by two writers against four readers",
        wanted.publishes,
        lambda: raised(lambda: race(root / "race" / "target", wanted.publishes)),
    )
    yield report(
        "kills of a writer",
        wanted.kills,
        lambda: raised(lambda: kill_writers(root / "killed" / "target", wanted.kills, seed=seed)),
    )
    yield report(
        "promotions and rollbacks by two writers against two readers",
        wanted.promotions,
        lambda: race_promotions(root / "promoted", wanted.promotions, seed),
    )
    made = make_pipeline(root / "made")
    flipped = copy_pipeline(made, root / "flipped")
    yield report(
        "bits flipped in each kind of artifact",
        wanted.flips,
        lambda: raised(lambda: flip_artifacts(flipped.paths, flipped.spec, wanted.flips, seed=seed)),
    )
    yield report(
        "kills of stages",
        wanted.kills,
        lambda: kill_stages(copy_pipeline(made, root / "stages"), wanted.kills, seed),
    )
    yield report(
        "kills of a training with checkpoints",
        wanted.trainings,
        lambda: kill_training(copy_pipeline(made, root / "training"), wanted.trainings, seed),
    )
    yield report(
        "kills of a training that streams its rows",
        wanted.trainings,
        lambda: kill_training(copy_pipeline(made, root / "streaming"), wanted.trainings, seed, 1),
    )
    yield report(
        "kills of an embedding",
        wanted.embeddings,
        lambda: kill_embedding(root / "embedding", wanted.embeddings, seed),
    )
    yield report(
        "kills of an embedding whose store is damaged each time",
        wanted.embeddings,
        lambda: kill_embedding(root / "damaged", wanted.embeddings, seed, damages=True),
    )
    yield report(
        "kills of Dagster runs",
        wanted.kills,
        lambda: kill_runs(copy_pipeline(made, root / "runs"), wanted.kills, seed),
    )
    if can_mount():
        with small_disk(root / "disk") as disk:
            yield report(
                "stages on a full disk",
                wanted.full_disks,
                lambda: fill_some(made, disk, wanted.full_disks, seed),
            )
    else:
        print("stages on a full disk: not tried, for mounting one needs root")


def fill_some(made: TinyPipeline, disk: Path, tries: int, seed: int) -> list[str]:
    failed, faults = fill_disks(made, disk, tries, seed)
    return faults if failed else [*faults, "no stage found the disk full, so nothing was tried"]


def report(what: str, tries: int, work: Callable[[], list[str]]) -> bool:
    """Do it, and say how often it was tried and what was wrong. Whether nothing was."""
    started = time.monotonic()
    try:
        faults = work() if tries else []
    except Exception as error:  # whatever it is, the other kinds of faults are tried all the same
        faults = [f"{type(error).__name__}: {error}"]
    print(f"{what}: {tries:,} tried, {len(faults):,} faults, {time.monotonic() - started:.0f} s", flush=True)
    for fault in faults[:SHOWN]:
        print(f"    {fault}")
    return not faults


if __name__ == "__main__":
    sys.exit(main())
