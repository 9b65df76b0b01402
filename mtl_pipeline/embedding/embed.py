"""The stage: a table of texts, or of pictures, becomes a file of vectors, and no vector is computed twice.

Each distinct text is embedded once. One that is NULL, empty or only white space is *no text*: its vector is zero,
which no encoder gives to a real text, so that a model can learn what having no text means. All of this holds of
pictures too: see `pictures` for what stands for one in place of a text.

The file that is replaced serves as the store: where its encoder has the same fingerprint, vectors are
taken over by text hash; and so are those of pieces, which a run that was killed has left, or other pipelines
(see `pieces`). A night on which nothing changed loads no model, not even torch.

Memory: the ids and hashes (see `texts`), and of texts, tokens and vectors as many as are worked on at once. The others
are in files: beside what is published, for as long as it takes, the texts, and 4 · dimension bytes for each distinct.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mtl_pipeline.embedding.encoder import Progress, TextEncoder
from mtl_pipeline.embedding.fidelity import Fidelity
from mtl_pipeline.embedding.inputs.pictures import DIGITS, PictureFiles, line_hashes
from mtl_pipeline.embedding.inputs.texts import DistinctTexts, keep_texts, text_hashes
from mtl_pipeline.embedding.runtimes import EXACT, Variant
from mtl_pipeline.embedding.runtimes.base import Prepared
from mtl_pipeline.embedding.source import EncoderFiles, completed, find_encoder_files
from mtl_pipeline.embedding.store.known import KnownVectors
from mtl_pipeline.embedding.store.pieces import Pieces
from mtl_pipeline.embedding.variants import Variants
from mtl_pipeline.errors import UserError
from mtl_pipeline.paths import project_root
from mtl_pipeline.publishing import ensure_writable, hidden_folder
from mtl_pipeline.spec import Encoder, ImageEncoder, Pretrained
from mtl_pipeline.vectors import VectorsFile, open_vectors, write_groups

TEXTS_PER_CHUNK = 16_384
"""Tokenized at once, and sorted by length: so many that batches pad little."""
Log = Callable[[str], None]


@dataclass(frozen=True)
class EmbeddingSummary:
    rows: int
    rows_without_text: int
    """NULL, empty or blank text, or no picture: a zero vector."""
    rows_unread: int
    """With a text of which no token is left, or a picture that cannot be decoded: a zero vector as well."""
    unread: list[str]
    """The first few of them."""
    distinct_texts: int
    reused_texts: int
    """Distinct texts whose vectors were taken over from the previous file."""
    tokens: int
    """Read by the encoder in this run."""
    dimension: int
    encoder_fingerprint: str
    device: str
    """`cuda`, `cpu`, or `none` when every vector was reused."""
    runtime: str
    precision: str
    fidelity: Fidelity | None
    """None where nothing is lost to speed."""
    seconds: float
    fingerprint: str
    """SHA-256 of ids and vectors."""
    rows_missing: int = 0
    """Of `rows_without_text`, those that name a picture of which there is no file."""


def embed_pictures(
    paths: Iterable[pa.RecordBatch],
    folder: Path,
    encoder: ImageEncoder,
    target: Path,
    *,
    device: str | None = None,
    progress: Progress | None = None,
    log: Log = print,
) -> EmbeddingSummary:
    """Embed the pictures at `paths` (columns `id` and `text`; relative ones start at `folder`) as `embed_texts` does
    texts. `log` names some that are missing or broken. Raises UserError as well where a path is an address."""
    files = PictureFiles(folder)
    lines = files.lines(paths)
    summary = embed_texts(
        lines, encoder, target, hashes_of=line_hashes, device=device, progress=progress, log=log
    )
    missing = summary.rows_without_text - files.undeclared
    broken = [line[DIGITS + 1 :] for line in summary.unread]
    for count, what, some in ((missing, "missing", files.missing), (summary.rows_unread, "broken", broken)):
        if count:
            log(f"{count:,} rows have a picture that is {what}: {', '.join(some) or 'since just now'}")
    return replace(summary, rows_missing=missing)


def embed_texts(
    texts: Iterable[pa.RecordBatch],
    encoder: Encoder | ImageEncoder,
    target: Path,
    *,
    hashes_of: Callable[[pa.Array], pa.Array] = text_hashes,
    exported: Path | None = None,
    device: str | None = None,
    progress: Progress | None = None,
    log: Log = print,
) -> EmbeddingSummary:
    """Embed `texts` (columns `id` and `text`, in any order) into the Parquet file `target`, in order of the ids.

    `exported`: the folder where runtimes keep what they make of encoders, by default beside `target`.
    `progress(done, total)` is called after each batch with numbers of texts. The old file stays in place
    until the new one is complete; where it is damaged, no vector is taken over from it, and `log` says so.
    Raises UserError when the encoder cannot be found or loaded, or `target` cannot be written.
    """
    started = time.perf_counter()
    ensure_writable(target)
    with hidden_folder(target) as scratch:
        distinct = keep_texts(texts, scratch / "texts.arrow", hashes_of)
        files, folder = find_encoder_files(encoder), exported or target.parent / "encoders"
        variants = Variants(files, encoder, distinct, folder, target.stem, device)
        vectors = KnownVectors(scratch / "vectors", distinct.hashes)
        with stored_vectors(target, log) as stored:
            chosen = choose_variant(stored, variants, log)
            if stored and made_by(stored, chosen.fingerprint) and stored.keeps(encoder.storage):
                vectors.take_over(stored)
        variants.sweep_unused(chosen.variant)
        pieces = Pieces(
            pieces_folder(encoder, target) / chosen.fingerprint, bool(encoder.store), vectors, log
        )
        pieces.take_over()
        if encoder.storage != "float32":
            pieces.kept |= vectors.known  # what the file held was rounded: others want it exact
        reused = int(np.count_nonzero(vectors.known))
        tokens, device = compute(distinct, vectors, pieces, chosen, variants, progress)
        written = write(target, distinct, vectors, describe(encoder, files, chosen), encoder.storage)
        pieces.finish()
    shutil.rmtree(unfinished(target), ignore_errors=True)
    return EmbeddingSummary(
        rows=len(distinct.ids),
        **written._asdict(),
        distinct_texts=len(distinct),
        reused_texts=reused,
        tokens=tokens,
        dimension=vectors.dimension,
        encoder_fingerprint=chosen.fingerprint,
        device=device,
        runtime=chosen.variant.runtime,
        precision=chosen.variant.precision,
        fidelity=chosen.fidelity,
        seconds=time.perf_counter() - started,
    )


class Written(NamedTuple):
    """As in the summary."""

    fingerprint: str
    rows_without_text: int
    rows_unread: int
    unread: list[str]


def write(
    target: Path, distinct: DistinctTexts, vectors: KnownVectors, metadata: dict[str, str], storage: str
) -> Written:
    """Publish the vectors of all rows."""
    # What could not be read this time, as a picture that has vanished meanwhile, is nothing until the next.
    numbers = np.where(np.append(vectors.known, False)[distinct.numbers], distinct.numbers, len(distinct))
    unread = [numbers[:0]]

    def read(rows: slice) -> tuple[np.ndarray, pa.Array]:
        found, hashes = vectors.of(numbers[rows])
        zero = numbers[rows][~found.any(axis=1)]
        unread.append(zero[zero < len(distinct)])
        return found, hashes

    fingerprint = write_groups(target, distinct.ids, vectors.dimension, read, metadata, storage)
    all_unread = np.concatenate(unread)
    first = distinct.take(np.unique(all_unread)[:3]).to_pylist()
    return Written(fingerprint, int(np.count_nonzero(numbers == len(distinct))), len(all_unread), first)


@dataclass(frozen=True)
class Chosen:
    variant: Variant
    fingerprint: str
    """Of the encoder."""
    fidelity: Fidelity | None
    encoder: TextEncoder | None
    """Where it has been loaded already."""


def choose_variant(stored: VectorsFile | None, variants: Variants, log: Log) -> Chosen:
    """What makes the vectors here. Nothing is loaded where those that are there were made by it and measured."""
    variant, fingerprint = variants.choose(stored.metadata if stored else {})
    measured = stored.metadata.get("fidelity") if stored else None
    # What was made without a text was not measured: it is on the first night that has one.
    if made_by(stored, fingerprint) and (measured or variant == EXACT or not len(variants.texts)):
        return Chosen(variant, fingerprint, Fidelity(**json.loads(measured)) if measured else None, None)
    encoder, variant, fidelity = variants.checked(variant, log)
    return Chosen(variant, variants.fingerprint(variant), fidelity, encoder)


def made_by(stored: VectorsFile | None, fingerprint: str) -> bool:
    return stored is not None and stored.metadata.get("encoder_fingerprint") == fingerprint


@contextmanager
def stored_vectors(target: Path, log: Log) -> Iterator[VectorsFile | None]:
    """The file at `target`. A damaged one counts as none."""
    with ExitStack() as until_the_end:
        stored = None
        try:
            if target.is_file():
                stored = until_the_end.enter_context(open_vectors(target))
        except UserError as error:
            log(f"No vector is taken over, all are computed anew: {error}")
        yield stored


def pieces_folder(encoder: Pretrained, target: Path) -> Path:
    """A relative store starts at the project's root, as the encoder's `folder` does."""
    if encoder.store:
        return project_root() / Path(encoder.store).expanduser()
    return unfinished(target)


def unfinished(target: Path) -> Path:
    return target.with_name(f".{target.name}.unfinished")


def compute(
    distinct: DistinctTexts,
    vectors: KnownVectors,
    pieces: Pieces,
    chosen: Chosen,
    variants: Variants,
    progress: Progress | None,
) -> tuple[int, str]:
    """Make the vectors that are not known. How many tokens were read, and on which device."""
    wanted = len(distinct) - int(np.count_nonzero(vectors.known))
    if not wanted and vectors.dimension:
        return 0, "none"
    encoder = chosen.encoder or variants.load(chosen.variant)
    vectors.make_room(encoder.runtime.dimension)
    done = read = 0

    def chunks() -> Iterator[tuple[np.ndarray, Prepared]]:
        # Cut by number, whatever is known, so that a run that goes on makes the same batches of what is left.
        nonlocal read
        for start in range(0, len(distinct), TEXTS_PER_CHUNK):
            numbers = start + np.flatnonzero(~vectors.known[start : start + TEXTS_PER_CHUNK])
            prepared = encoder.runtime.reader.prepare(distinct.take(numbers))
            vectors.known[numbers[prepared.lengths == 0]] = True
            read += int(prepared.lengths.sum())
            yield numbers, prepared

    for numbers, found in encoder.run(chunks()):
        vectors.put(numbers, found)
        pieces.write_now_and_then()
        done += len(numbers)
        if progress:
            progress(done, wanted)
    return read, encoder.runtime.device


def describe(encoder: Encoder | ImageEncoder, files: EncoderFiles, chosen: Chosen) -> dict[str, str]:
    """The file's metadata: what made these vectors."""
    description = (
        completed(encoder, files).model_dump(exclude_none=True, exclude={"batch_size", "store", "storage"})
        | chosen.variant._asdict()
    )
    description |= {"transformers": version("transformers")}
    if files.commit:
        description["commit"] = files.commit
    metadata = {"encoder_fingerprint": chosen.fingerprint, "encoder": json.dumps(description)}
    return metadata | ({"fidelity": json.dumps(chosen.fidelity._asdict())} if chosen.fidelity else {})
