"""Atomic publishing: a reader sees the old output or the new one, never half of either, and nothing damaged.

What is published is a hidden sibling folder, the version; `target` is a symbolic link to it, which a rename swaps.
Three locks, which the system releases when their holder dies, keep versions from being lost or left behind:

a writer    holds an exclusive lock on its unfinished version, until the link names it
a reader    shares a lock on the version that it reads, for as long as it reads (`reading`)
sweeping    after each publication deletes every version that is not current and that nobody holds

Of two writers, the last to swap wins. Where a copy has replaced the link by a real folder, that folder is the version.
Each version carries the checksums of its files (see `checksums`), which are compared when it is opened.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from mtl_pipeline.checksums import CHECKSUMS, file_sha256, verify_checksums, write_checksums
from mtl_pipeline.errors import UserError

DISK_IS_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
"""Polars, DuckDB and others raise exceptions of their own with these words."""
LEAST_ROOM = 1 << 20
DESCRIPTORS = Path("/proc/self/fd")
PATIENCE_SECONDS = 0.2
"""When a link replaces a real folder, neither is there for an instant."""


@contextmanager
def publish_file(target: Path) -> Iterator[Path]:
    """Yield a path to write; on success it replaces `target`, on failure it vanishes.

    Raises UserError when the disk is full or must not be written.
    """
    with hidden_folder(target) as folder:
        temporary = folder / "content"
        yield temporary
        os.replace(temporary, target)


@contextmanager
def publish_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; on success it is, with its checksums, the version that `target` names.

    Raises UserError when the disk is full or must not be written.
    """
    with hidden_folder(target) as version:
        yield version
        write_checksums(version)
        link = version / "link"
        link.symlink_to(version.name, target_is_directory=True)
        swap(link, target)


@contextmanager
def reading(target: Path, verify: Callable[[Path, Path], None] = verify_checksums) -> Iterator[Path]:
    """Yield the version that `target` names now: verified, and there until the `with` block ends.

    Raises UserError when there is none, and when `verify(version, target)` finds that it is damaged.
    """
    with ExitStack() as until_the_end:
        session = SESSION.get() or Session(until_the_end)
        key = target.absolute()
        if key not in session.versions:
            version = session.stack.enter_context(current_version(target))
            verify(version, target)
            session.versions[key] = version
        yield session.versions[key]


def is_published(target: Path) -> bool:
    """Whether there is a version that is not damaged."""
    try:
        with reading(target):
            return True
    except UserError:
        return False


@contextmanager
def one_version_each(held: Mapping[Path, Path] | None = None) -> Iterator[None]:
    """Within, every read of a folder gets the version that the first one got, which is verified once.

    So what takes many steps is made from one version of each of its inputs, whatever is published meanwhile. `held`:
    the `held_versions` of another process, which keeps them until this one has ended.
    """
    with ExitStack() as stack:
        token = SESSION.set(Session(stack, dict(held or {})))
        try:
            yield
        finally:
            SESSION.reset(token)


@dataclass(frozen=True)
class Session:
    stack: ExitStack
    """Keeps the versions open."""
    versions: dict[Path, Path] = field(default_factory=dict)
    """By absolute path of their target."""


SESSION: ContextVar[Session | None] = ContextVar("session", default=None)


def held_versions() -> dict[Path, Path]:
    """By absolute path of their target, those that `one_version_each` keeps here."""
    session = SESSION.get()
    return dict(session.versions) if session else {}


def folder_fingerprint(folder: Path, *, without: Collection[str] = ()) -> str:
    """SHA-256 (hex) over the names and contents of the files in a folder, except those named in `without`.

    Follows a link to the current version, and then raises UserError as `reading` does.
    """
    digest = hashlib.sha256()
    is_target = folder.is_symlink() and folder.parent != DESCRIPTORS
    with reading(folder) if is_target else nullcontext(folder) as version:
        for path in sorted(version.iterdir()):
            if path.name not in (*without, CHECKSUMS):
                digest.update(path.name.encode() + b"\0" + file_sha256(path))
    return digest.hexdigest()


def ensure_writable(target: Path) -> None:
    """Find out before an hour of work whether as much as is published at `target` now can be published again.

    Raises UserError when the disk is full or must not be written.
    """
    needed = max(LEAST_ROOM, published_bytes(target))
    with hidden_folder(target) as folder:
        (folder / "probe").write_bytes(bytes(LEAST_ROOM))
        disk = os.statvfs(folder)
        if (free := disk.f_bavail * disk.f_frsize) < needed:
            raise cannot_write(target, f"it needs {needed:,} bytes, and {free:,} are free")


def published_bytes(target: Path) -> int:
    files = target.iterdir() if target.is_dir() else [target]
    return sum(file.stat().st_size for file in files if file.is_file())


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """One process at a time, others wait: for a file that is read, changed and replaced."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f".{target.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def hidden_folder(target: Path) -> Iterator[Path]:
    """Yield a new, exclusively held folder beside `target`, which is deleted afterwards unless `target` names it then.

    Sweeps leftovers of killed runs. Raises UserError when the disk is full or must not be written.
    """
    with ExitStack() as stack:
        folder = new_folder(target, stack)
        try:
            yield folder
        except Exception as error:
            if not any(words in str(error) for words in DISK_IS_FULL):
                raise
            raise cannot_write(target, str(error)) from error
        finally:
            if not is_current(folder, target):
                shutil.rmtree(folder, ignore_errors=True)
    sweep(target)


def new_folder(target: Path, stack: ExitStack) -> Path:
    """A new folder beside `target`, held exclusively for as long as the stack lasts."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        while True:
            folder = hidden_sibling(target)
            folder.mkdir()
            if stack.enter_context(held(folder, fcntl.LOCK_EX)) is not None:
                return folder  # else somebody swept it before it was held
    except OSError as error:
        raise cannot_write(target, str(error)) from error


def cannot_write(target: Path, reason: str) -> UserError:
    return UserError(
        f"{target} cannot be written ({reason}): make room on the disk, or let this user write there. "
        "What was published before is unharmed"
    )


@contextmanager
def current_version(target: Path) -> Iterator[Path]:
    """Yield the folder that `target` names, which is not deleted until the `with` block ends."""
    started = time.monotonic()
    with ExitStack() as stack:
        while True:
            version = target.resolve()
            descriptor = stack.enter_context(held(version, fcntl.LOCK_SH))
            # Deleting takes an exclusive lock and spares the current version: if this one is current now, it is whole.
            if descriptor is not None and target.resolve() == version:
                break
            stack.close()
            if not target.exists():
                if time.monotonic() > started + PATIENCE_SECONDS:
                    raise UserError(f"{target} does not exist yet: materialize {target.name} first")
                time.sleep(PATIENCE_SECONDS / 10)
        # A real folder is moved away by the next publishing, so it is named by its descriptor.
        yield version if version.name.startswith(".") else DESCRIPTORS / str(descriptor)


def swap(link: Path, target: Path) -> None:
    """Replace a link, or the real folder that a copy has made of it, by another link."""
    while True:
        try:
            return os.replace(link, target)
        except IsADirectoryError:
            with suppress(FileNotFoundError):
                os.replace(target, hidden_sibling(target))


def sweep(target: Path) -> None:
    """Delete earlier and unfinished versions of `target` that nobody holds."""
    ours = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{32}}(\.link)?")
    for sibling in target.parent.iterdir():
        if ours.fullmatch(sibling.name):
            with suppress(OSError):
                remove_unused(sibling, target)


def remove_unused(path: Path, target: Path) -> None:
    """Delete a file, link or folder, unless `target` names it or somebody reads or writes it."""
    if path.is_symlink():
        path.unlink()
        return
    with held(path, fcntl.LOCK_EX | fcntl.LOCK_NB) as alone:
        if alone is None or is_current(path, target):
            return
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def is_current(version: Path, target: Path) -> bool:
    return target.is_symlink() and target.resolve().name == version.name


@contextmanager
def held(path: Path, operation: int) -> Iterator[int | None]:
    """Lock a file or folder (`flock`), and yield its descriptor: None if it is gone or, with LOCK_NB, in use."""
    with ExitStack() as stack:
        try:
            descriptor = os.open(path, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, operation)
            still_there = os.path.samestat(os.fstat(descriptor), path.stat())
        except (FileNotFoundError, BlockingIOError):
            still_there = False
        yield descriptor if still_there else None


@contextmanager
def only_one(lock: Path, busy: str) -> Iterator[None]:
    """Hold a lock file. Raises UserError, which says what is `busy`, where another process holds it."""
    lock.touch()
    with held(lock, fcntl.LOCK_EX | fcntl.LOCK_NB) as descriptor:
        if descriptor is None:
            raise UserError(busy)
        yield


def hidden_sibling(target: Path) -> Path:
    return target.with_name(f".{target.name}.{uuid.uuid4().hex}")
