"""Pictures: files that a table names by their paths.

In place of a text stands a line, `<hash of the file's content> <path>`: what has the same content is one picture, under
whatever name, and one that changes under its name is another. What cannot be read is a row without a picture, and never
stops a run: there is always some such file among many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image, ImageOps

from mtl_pipeline.errors import UserError
from mtl_pipeline.vectors import TEXT_HASH_BYTES

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""Others that Pillow knows start programs (EPS), or are no pictures of things."""
MOST_PIXELS = 90_000_000
"""About where Pillow warns of a decompression bomb: 270 MB."""
MOST_TIMES_AS_LONG = 50
"""As wide, or the other way round: scaled until its short side fits, a longer one would take gigabytes."""
THREADS = 8
"""That open pictures: as many may be as large as they may be."""
DIGITS = 2 * TEXT_HASH_BYTES


@dataclass
class PictureFiles:
    """The pictures that a table names. Relative paths start at `folder`."""

    folder: Path
    undeclared: int = 0
    """Rows that name none."""
    missing: list[str] = field(default_factory=list)
    """Paths without a file that can be read, the first few."""

    def lines(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """`batches` (columns `id` and `text`, paths) with lines in place of paths; NULL where there is no such file.
        Raises UserError for an address."""
        with ThreadPoolExecutor(THREADS) as threads:
            for batch in batches:
                paths = named(batch["text"])
                addresses = paths.filter(pc.match_substring_regex(paths, r"^[A-Za-z][A-Za-z0-9+.-]+://"))
                if len(addresses):
                    raise UserError(
                        f"{addresses[0]} is an address, not the path of a picture: fetch pictures first, into "
                        f"{self.folder}, and name them in sql/ by their paths"
                    )
                found = list(threads.map(self.line, paths.to_pylist()))
                self.undeclared += paths.null_count
                lost = paths.filter(
                    pc.and_(paths.is_valid(), pa.array([line is None for line in found], pa.bool_()))
                )
                self.missing += lost.slice(0, max(0, 3 - len(self.missing))).to_pylist()
                yield pa.record_batch([batch["id"], pa.array(found, pa.large_string())], names=["id", "text"])

    def line(self, path: str | None) -> str | None:
        file = self.folder / (path or "")
        try:  # of other files than regular ones, some never end
            return f"{content_hash(file)} {file}" if path and file.is_file() else None
        except (OSError, ValueError):
            return None


def named(paths: pa.Array) -> pa.Array:
    blank = pc.equal(pc.utf8_trim_whitespace(paths), "")
    return pc.if_else(blank, pa.scalar(None, paths.type), paths)


def content_hash(file: Path) -> str:
    """BLAKE2b, in hexadecimal digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, partial(hashlib.blake2b, digest_size=TEXT_HASH_BYTES)).hexdigest()


def line_hashes(lines: pa.Array) -> pa.Array:
    hashes = [None if line is None else bytes.fromhex(line[:DIGITS]) for line in lines.to_pylist()]
    return pa.array(hashes, pa.binary(TEXT_HASH_BYTES))


@dataclass(frozen=True)
class PictureReader:
    process: Callable[[Image.Image], np.ndarray]
    """From a picture in RGB to pixels, float32 [3, height, width]."""
    shape: tuple[int, ...]
    """Of the pixels of every picture."""
    threads: ThreadPoolExecutor = field(default_factory=partial(ThreadPoolExecutor, THREADS))

    def prepare(self, texts: pa.Array) -> Pictures:
        return Pictures(self, texts.to_pylist())


@dataclass
class Pictures:
    """Those of some lines, opened as batches ask for them."""

    reader: PictureReader
    lines: list[str]
    broken: np.ndarray = field(init=False)
    """bool [pictures]: which cannot be decoded, as far as they have been opened. Their vector is zero."""
    gone: np.ndarray = field(init=False)
    """bool [pictures]: which are no longer what they were when they were listed. They have no vector."""

    def __post_init__(self) -> None:
        self.broken, self.gone = np.zeros((2, len(self.lines)), dtype=bool)

    @property
    def lengths(self) -> np.ndarray:
        return np.ones(len(self.lines), dtype=np.int64)

    def batches(self, batch_size: int, tokens_at_once: int = 0) -> Iterator[np.ndarray]:
        for start in range(0, len(self.lines), batch_size):
            yield np.arange(start, min(start + batch_size, len(self.lines)))

    def padded(self, rows: np.ndarray) -> tuple[np.ndarray]:
        """Pixels, zero where there are none."""
        return (np.stack(list(self.reader.threads.map(self.pixels, rows))),)

    def pixels(self, row: int) -> np.ndarray:
        line = self.lines[row]
        try:
            if content_hash(file := Path(line[DIGITS + 1 :])) != line[:DIGITS]:
                raise FileNotFoundError
        except OSError:
            self.gone[row] = True
            return np.zeros(self.reader.shape, dtype=np.float32)
        try:
            return self.reader.process(decoded(file))
        except MemoryError:
            raise
        except Exception:  # of Pillow, which raises what its formats happen to meet: no common base
            self.broken[row] = True
            return np.zeros(self.reader.shape, dtype=np.float32)

    def pooled(self, rows: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        there = ~self.gone[rows]
        return rows[there], np.where(self.broken[rows, None], np.float32(0), vectors)[there]


def decoded(file: Path) -> Image.Image:
    """In RGB, as its camera was held; the first of several frames."""
    with Image.open(file, formats=FORMATS) as image:
        short, long = sorted(image.size)
        if short * long > MOST_PIXELS or long > MOST_TIMES_AS_LONG * short:
            raise ValueError(f"{image.size} pixels")
        return ImageOps.exif_transpose(image).convert("RGB")


def process_with(processor: Any, image: Image.Image) -> np.ndarray:
    """`processor`: an image processor of transformers."""
    return np.asarray(processor(images=image, return_tensors="np")["pixel_values"][0], dtype=np.float32)
