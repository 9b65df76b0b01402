"""Checksums that are written with each artifact, and compared when it is opened: what has decayed is never used.

A folder holds them in the file SHA256SUMS, as `sha256sum` writes it and `sha256sum -c` reads it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from mtl_pipeline.errors import UserError

CHECKSUMS = "SHA256SUMS"


def write_checksums(folder: Path) -> None:
    """Write down what the files of a folder are now."""
    (folder / CHECKSUMS).write_bytes(checksums(folder))


def verify_checksums(folder: Path, published: Path) -> None:
    """Raises UserError unless the folder holds exactly the files that it was published with, at `published`."""
    again = f"materialize {published.name} again"
    try:
        written, found = (folder / CHECKSUMS).read_bytes(), checksums(folder)
    except FileNotFoundError as error:
        raise UserError(
            f"{published} holds no {CHECKSUMS}, so nobody can say whether it is whole (earlier versions of this "
            f"project wrote none): {again}"
        ) from error
    except OSError as error:
        raise UserError(f"{published} cannot be read ({error}): {again}") from error
    if written != found:
        differing = set(written.splitlines()) ^ set(found.splitlines())
        names = sorted({line[66:].decode(errors="replace") for line in differing} or {CHECKSUMS})
        raise UserError(
            f"{published} is damaged: {', '.join(names)} not as published, going by {CHECKSUMS}: {again}"
        )


def checksums(folder: Path) -> bytes:
    """A line for each file: its SHA-256 (hex), two spaces, its name."""
    lines = []
    for path in sorted(folder.iterdir()):
        if path.name != CHECKSUMS:
            with path.open("rb") as file:
                lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    return "".join(lines).encode()
