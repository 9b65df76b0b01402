"""Checksums that are written with each artifact and compared when it is opened, so that nothing damaged is used.

A folder holds them in the file SHA256SUMS, as `sha256sum` writes it and `sha256sum -c` reads it. A Parquet file that
is published alone has one in its metadata, of everything before and after it. Parquet's own page checksums would
leave out the metadata, where a flipped bit moves whole columns.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import BinaryIO

from mtl_pipeline.errors import UserError

CHECKSUMS = "SHA256SUMS"
SEAL = re.compile(rb"sha256 of the file but for this:([0-9a-f]{64})")
UNSEALED = {"checksum": f"sha256 of the file but for this:{'0' * 64}"}
"""Metadata of a Parquet file that is to be sealed."""
LONGEST_METADATA = 1 << 20
BLOCK = 1 << 20


def write_checksums(folder: Path) -> None:
    (folder / CHECKSUMS).write_bytes(checksums(folder))


def verify_checksums(folder: Path, published: Path) -> None:
    """Raises UserError unless the folder holds exactly the files that it was published with, at `published`."""
    again = f"materialize {published.name} again"
    try:
        written, actual = (folder / CHECKSUMS).read_bytes(), checksums(folder)
    except FileNotFoundError as error:
        raise UserError(
            f"{published} holds no {CHECKSUMS}, so nobody can say whether it is whole (earlier versions of this "
            f"project wrote none): {again}"
        ) from error
    except OSError as error:
        raise UserError(f"{published} cannot be read ({error}): {again}") from error
    if written != actual:
        differing = set(written.splitlines()) ^ set(actual.splitlines())
        names = sorted({line[66:].decode(errors="replace") for line in differing} or {CHECKSUMS})
        raise UserError(
            f"{published} is damaged: {', '.join(names)} not as published, going by {CHECKSUMS}: {again}"
        )


def checksums(folder: Path) -> bytes:
    """A line for each file: its SHA-256 (hex), two spaces, its name."""
    files = sorted(path for path in folder.iterdir() if path.name != CHECKSUMS)
    return "".join(f"{file_sha256(path).hex()}  {path.name}\n" for path in files).encode()


def file_sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def seal(path: Path) -> None:
    """Write its own checksum into a Parquet file whose metadata hold UNSEALED."""
    with path.open("r+b") as file:
        place, _, checksum = sealed(file)
        file.seek(place)
        file.write(checksum)


def verify_seal(file: BinaryIO, path: Path) -> None:
    """Raises UserError unless the open file of `path` is as it was sealed. Reads all of it, in little memory."""
    again = f"materialize {asset_of(path)} again"
    try:
        _, written, actual = sealed(file)
        file.seek(0)
    except ValueError as error:
        raise UserError(
            f"{path} holds no checksum of its own, so it is damaged, or an earlier version of this project wrote it: "
            f"{again}"
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}): {again}") from error
    if written != actual:
        raise UserError(f"{path} is damaged: it is not as it was published, going by its checksum: {again}")


def verify_file(path: Path) -> None:
    """`verify_seal`. Raises UserError also when there is no such file."""
    if not path.is_file():
        raise UserError(f"{path} does not exist yet: materialize {asset_of(path)} first")
    with path.open("rb") as file:
        verify_seal(file, path)


def sealed(file: BinaryIO) -> tuple[int, bytes, bytes]:
    """Where the checksum (hex) is, what it says, and what it should say: SHA-256 of everything before and after it.

    Raises ValueError where there is none.
    """
    start = max(0, file.seek(0, os.SEEK_END) - LONGEST_METADATA)
    file.seek(start)
    (seal,) = SEAL.finditer(file.read())
    place, digest = start + seal.start(1), hashlib.sha256()
    file.seek(0)
    while block := file.read(min(BLOCK, place - file.tell())):
        digest.update(block)
    file.seek(place + len(seal[1]))
    hashlib.file_digest(file, lambda: digest)  # type: ignore[arg-type]
    return place, seal[1], digest.hexdigest().encode()


def asset_of(path: Path) -> str:
    """The name of the asset that publishes a file of its own."""
    return f"{path.stem.removesuffix('s')}_embeddings" if path.parent.name == "embeddings" else path.stem
