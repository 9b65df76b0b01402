"""A training that was killed goes on at its last checkpoint, and ends as one that nobody disturbed.

Checkpoints lie in a folder until what was trained is published; each is known by all that decides what is trained, so
that one of other rows or settings is never taken up. A training shorter than half a minute writes none, and one that
cannot write them goes on without.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import torch

from mtl_pipeline.checksums import file_sha256
from mtl_pipeline.paths import PipelinePaths

SECONDS_BETWEEN = 30.0
LARGEST_SHARE = 0.02
"""Of the time of training, that writing may take."""
DAYS_KEPT = 7
"""Of trainings that nobody has gone on with."""
Log = Callable[[str], None]


class Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> object: ...


@dataclass
class Checkpoints:
    """Those of all networks that an asset is made of."""

    folder: Path | None = None
    """Without one, nothing is kept."""
    used: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, paths: PipelinePaths, target: Path) -> Checkpoints:
        """Of what is published at `target`."""
        return cls(paths.checkpoints / target.name)

    def of_training(self, trained_with: object, parts: Sequence[Stateful], log: Log) -> Checkpoint:
        """`trained_with`: all that decides what is trained, as JSON has it; `parts`: all that its course depends on."""
        digest = hashlib.sha256(
            json.dumps([trained_with, code_digest()], sort_keys=True).encode()
        ).hexdigest()
        self.used.add(name := digest[:32])
        return Checkpoint(self.folder, name, parts, log)

    def remove(self) -> None:
        """Once the asset is published. Those of another process, which trains it with other settings, stay."""
        if self.folder is None or not self.folder.is_dir():
            return
        long_ago = time.time() - DAYS_KEPT * 86_400
        with suppress(OSError):  # another process may be removing the same
            for file in self.folder.iterdir():
                if file.name.partition(".")[0] in self.used or file.stat().st_mtime < long_ago:
                    file.unlink(missing_ok=True)
            self.folder.rmdir()
            self.folder.parent.rmdir()


@dataclass
class Checkpoint:
    """The state of one training, in a file whose name says what its content has to be."""

    folder: Path | None
    name: str
    parts: Sequence[Stateful]
    log: Log
    saved: float = field(default_factory=time.monotonic)
    cost: float = 0.0

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.name}.*.pt")) if self.folder else []

    def restore(self) -> None:
        """Go on from there, if there is one. What is damaged is as good as none."""
        for file in self.files:
            try:
                if file.suffixes != [f".{file_sha256(file).hex()}", ".pt"]:
                    raise ValueError("it is not as it was written")
                state = torch.load(file, map_location="cpu", weights_only=True)
            except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
                self.log(f"{file} cannot be used ({error}): training starts anew")
                file.unlink(missing_ok=True)
                continue
            for part, its in zip(self.parts, state, strict=True):
                part.load_state_dict(its)
            self.log("going on where an earlier training was interrupted")
            return

    def save(self, *, last: bool = False) -> None:
        """After a round, if it is time; after the `last` one, if there were others: what follows may be interrupted."""
        since = time.monotonic() - self.saved
        due = since >= max(SECONDS_BETWEEN, self.cost / LARGEST_SHARE)
        if self.folder is None or not (due or (last and self.files)):
            return
        started = time.monotonic()
        try:
            self.write(self.folder)
        except (OSError, RuntimeError) as error:  # torch has its own for a disk that is full
            self.log(f"no checkpoint in {self.folder} ({error}): training goes on without")
        self.saved = time.monotonic()
        self.cost = self.saved - started

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        before, unfinished = self.files, folder / f"{self.name}.{os.getpid()}"
        try:
            torch.save([part.state_dict() for part in self.parts], unfinished)
            written = unfinished.replace(folder / f"{self.name}.{file_sha256(unfinished).hex()}.pt")
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        for file in before:
            if file != written:
                file.unlink(missing_ok=True)


@cache
def code_digest() -> str:
    """Of this package: another version of it would go on differently, or could not at all."""
    digest = hashlib.sha256(torch.__version__.encode())
    for file in sorted(Path(__file__).parents[3].rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
