"""Where a backtest keeps what it has finished, so that one that was killed goes on at the first unfinished window.

.backtest_work/<fingerprint>/inputs/          examples and text vectors as they were when the backtest began
.backtest_work/<fingerprint>/window-1/        the scores of a finished window; there only once they are whole
.backtest_work/<fingerprint>/making/          the window in progress, a project root of its own
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mtl_pipeline.checksums import verify_checksums, verify_file, write_checksums
from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import only_one, reading
from mtl_pipeline.spec import PipelineSpec


@dataclass(frozen=True)
class BacktestWork:
    """The work folder of one backtest: of these inputs, settings and windows."""

    folder: Path
    pipeline: str
    fingerprint: str

    @property
    def inputs(self) -> Path:
        """Holds examples.parquet and files beside it, embeddings/<table>.parquet and, of a simulator, truth.parquet."""
        return self.folder / "inputs"

    def window(self, number: int) -> Path:
        """The folder with the scores of a finished window."""
        return self.folder / f"window-{number}"

    def finished(self, number: int) -> bool:
        """Whether the scores of a window are there and undamaged; damaged ones are deleted."""
        try:
            verify_checksums(self.window(number), self.window(number))
        except UserError:
            shutil.rmtree(self.window(number), ignore_errors=True)
            return False
        return True

    @contextmanager
    def window_paths(self) -> Iterator[PipelinePaths]:
        """The paths of a project that holds nothing but the text vectors; it is deleted afterwards."""
        root = self.folder / "making"
        shutil.rmtree(root, ignore_errors=True)
        paths = PipelinePaths(root, self.pipeline)
        paths.data.mkdir(parents=True)
        paths.embeddings("users").parent.symlink_to(self.inputs / "embeddings", target_is_directory=True)
        try:
            yield paths
        finally:
            shutil.rmtree(root, ignore_errors=True)

    @contextmanager
    def finish(self, number: int) -> Iterator[Path]:
        """Yield an empty folder to fill with the scores of a window."""
        unfinished = self.folder / f"unfinished-{number}"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        yield unfinished
        write_checksums(unfinished)
        os.replace(unfinished, self.window(number))


@contextmanager
def open_work(paths: PipelinePaths, spec: PipelineSpec, version: str) -> Iterator[BacktestWork]:
    """The work folder of a backtest whose code and settings have this version; removed where the `with` block succeeds.

    The folder of a backtest that was stopped is taken up again where inputs and version are the same, and removed
    where they are not. Raises UserError while another backtest of the pipeline is running.
    """
    root = paths.data / ".backtest_work"
    root.mkdir(parents=True, exist_ok=True)
    busy = f"{root}: another backtest of this pipeline is running; wait until it has finished"
    with only_one(root / "lock", busy):
        taken = root / "taken"
        shutil.rmtree(taken, ignore_errors=True)
        pin_inputs(paths, spec, taken)
        fingerprint = fingerprint_of(taken, version)
        for folder in root.iterdir():
            if folder.is_dir() and folder.name not in (fingerprint, taken.name):
                shutil.rmtree(folder)
        work = BacktestWork(root / fingerprint, paths.pipeline, fingerprint)
        work.folder.mkdir(exist_ok=True)
        shutil.rmtree(work.inputs, ignore_errors=True)
        os.replace(taken, work.inputs)
        yield work
        shutil.rmtree(work.folder)


def pin_inputs(paths: PipelinePaths, spec: PipelineSpec, folder: Path) -> None:
    """Every window must see the same files, whatever is materialized meanwhile."""
    (folder / "embeddings").mkdir(parents=True)
    with reading(paths.examples) as examples:
        keep(examples / "examples.parquet", folder)
        for beside in ("label_steps.parquet", "chosen.parquet"):
            if (examples / beside).is_file():
                keep(examples / beside, folder)
    for pair in spec.embedded:
        verify_file(paths.embeddings(*pair))
        keep(paths.embeddings(*pair), folder / "embeddings")
    if paths.truth.is_file():
        keep(paths.truth, folder)


def keep(source: Path, folder: Path) -> None:
    """A hard link costs nothing, and stays when the source is replaced."""
    try:
        os.link(source.resolve(), folder / source.name)
    except OSError:
        shutil.copyfile(source, folder / source.name)


def fingerprint_of(folder: Path, version: str) -> str:
    digest = hashlib.sha256(version.encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(str(path.relative_to(folder)).encode())
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
