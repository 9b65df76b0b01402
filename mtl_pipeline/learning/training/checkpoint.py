"""A training that was killed goes on at its last checkpoint, and ends as one that nobody disturbed.

Checkpoints lie in a folder until what was trained is published; each is known by all that decides what is trained, so
that one of other rows or settings is never taken up. A training shorter than half a minute writes none.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import torch

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.publishing import publish_file

SECONDS_BETWEEN = 30.0
LARGEST_SHARE = 0.02
"""Of the time of training, that writing may take."""


def checkpoints_of(paths: PipelinePaths, target: Path) -> Path:
    """The folder for checkpoints of what is published at `target`."""
    return paths.checkpoints / target.name


def remove_checkpoints(paths: PipelinePaths, target: Path) -> None:
    """Once it is published."""
    shutil.rmtree(checkpoints_of(paths, target), ignore_errors=True)
    with suppress(OSError):
        paths.checkpoints.rmdir()  # unless something else is being trained


@cache
def code_digest() -> str:
    """Of all that learns: another version of it would go on differently, or could not at all."""
    digest = hashlib.sha256(torch.__version__.encode())
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


class Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> object: ...


class Checkpoint:
    """The state of one training: everything that its further course depends on."""

    def __init__(self, folder: Path | None, trained_with: object, parts: Sequence[Stateful]) -> None:
        """Without a folder, nothing is kept. `trained_with` is all that decides what is trained, as JSON has it."""
        digest = hashlib.sha256(
            json.dumps([trained_with, code_digest()], sort_keys=True).encode()
        ).hexdigest()
        self.file = folder / f"{digest[:32]}.pt" if folder else None
        self.parts = parts
        self.saved, self.cost = time.monotonic(), 0.0

    def restore(self, log: Callable[[str], None]) -> None:
        """Go on from there, if there is one. What cannot be read is as good as none."""
        if self.file is None or not self.file.is_file():
            return
        try:
            state = torch.load(self.file, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            log(f"{self.file} cannot be read ({error}): training starts anew")
            return
        for part, its in zip(self.parts, state, strict=True):
            part.load_state_dict(its)
        log("going on where an earlier training was interrupted")

    def save(self, *, last: bool = False) -> None:
        """After a round, if it is time; after the `last` one, if there were others: what follows may be interrupted."""
        since = time.monotonic() - self.saved
        due = since >= max(SECONDS_BETWEEN, self.cost / LARGEST_SHARE)
        if self.file is None or not (due or (last and self.file.is_file())):
            return
        started = time.monotonic()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with publish_file(self.file) as file:
            torch.save([part.state_dict() for part in self.parts], file)
        self.saved = time.monotonic()
        self.cost = self.saved - started
