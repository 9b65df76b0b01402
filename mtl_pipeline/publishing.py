"""Atomic publishing: a reader sees the old output or the new one, never half of either."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

ABANDONED_AFTER_SECONDS = 24 * 3600


@contextmanager
def publish_file(target: Path) -> Iterator[Path]:
    """Yield a path to write; on success it replaces `target`, on failure it vanishes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = hidden_sibling(target)
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def publish_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; on success `target`, a symbolic link, points to it.

    A folder cannot be replaced atomically, a symbolic link can: each version is a hidden sibling
    folder, and the link is swapped by a rename. The version it named before is removed, and so are
    leftovers of runs that were killed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    version = hidden_sibling(target)
    version.mkdir()
    previous = target.resolve() if target.is_symlink() else None
    try:
        yield version
        link = version.with_name(f"{version.name}.link")
        link.symlink_to(version.name, target_is_directory=True)
        os.replace(link, target)
    except BaseException:
        shutil.rmtree(version, ignore_errors=True)
        raise
    if previous is not None:
        shutil.rmtree(previous, ignore_errors=True)
    remove_abandoned_versions(target)


def folder_fingerprint(folder: Path, *, without: Collection[str] = ()) -> str:
    """SHA-256 (hex) over the names and contents of the files in a folder, but for those named in `without`."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.name not in without:
            digest.update(path.name.encode() + b"\0")
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """One process at a time, others wait: for a file that is read, changed and replaced.

    The system lets go of the lock when its holder dies.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f".{target.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def hidden_sibling(target: Path) -> Path:
    return target.with_name(f".{target.name}.{uuid.uuid4().hex}")


def remove_abandoned_versions(target: Path) -> None:
    oldest = time.time() - ABANDONED_AFTER_SECONDS
    for sibling in target.parent.glob(f".{target.name}.*"):
        if sibling != target.resolve() and sibling.lstat().st_mtime < oldest:
            shutil.rmtree(sibling, ignore_errors=True)
