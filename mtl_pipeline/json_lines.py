"""Histories: files with a line of JSON for each thing that happened, each line with its own checksum.

The checksum is the line's last value, `sha256`, of the line without it. A line without one was written by an earlier
version of this project, or corrected by hand.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from mtl_pipeline.errors import UserError, in_short
from mtl_pipeline.publishing import publish_file

CHECKED = re.compile(rb'(?P<values>\{.*), "sha256": "(?P<checksum>[0-9a-f]{64})"\}')
Parsed = TypeVar("Parsed")


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Publish the lines at `path`. Raises ValueError for NaN, which JSON does not know."""
    with publish_file(path) as file:
        dumped = (json.dumps(line, allow_nan=False).encode() for line in lines)
        file.write_bytes(b"".join(map(with_checksum, dumped)))


def read_lines(path: Path, parse: Callable[[bytes], Parsed], otherwise: str) -> list[Parsed]:
    """Oldest first; empty where there is no file.

    `parse` raises ValueError for a line that it cannot read. Raises UserError, which names the line and says by
    `otherwise` what happens without it, for such a line and for a damaged one.
    """
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")
    parsed = []
    for place, line in enumerate(lines if lines[-1] else lines[:-1], start=1):
        try:
            parsed.append(parse(without_checksum(line)))
        except ValueError as error:
            raise UserError(
                f"{path}, line {place}: damaged, or no line of this file ({in_short(error)}). Remove the line: "
                f"{otherwise}. Or mend it, and leave out its sha256"
            ) from error
    return parsed


def with_checksum(line: bytes) -> bytes:
    checksum = hashlib.sha256(line).hexdigest()
    return line[:-1] + f', "sha256": "{checksum}"}}\n'.encode()


def without_checksum(line: bytes) -> bytes:
    """Raises ValueError where the line is not what its checksum says."""
    checked = CHECKED.fullmatch(line)
    if checked is None:
        return line
    values = checked["values"] + b"}"
    if hashlib.sha256(values).hexdigest().encode() != checked["checksum"]:
        raise ValueError("it is not as it was written, going by its sha256")
    return values
