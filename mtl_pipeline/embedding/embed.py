"""The stage: a table of texts becomes a file of vectors, and no vector is computed twice.

Each distinct text is embedded once. One that is NULL, empty or only white space is *no text*: its vector is zero,
which no encoder gives to a real text, so that a model can learn what having no text means.

The file that is replaced serves as the store: where its encoder has the same fingerprint, vectors are
taken over by text hash; and so are those that a run had computed which was killed (see `unfinished`).
A night on which nothing changed loads no model, not even torch.

Memory: the vectors of all rows and of the distinct texts, plus those of the old file while they are
compared, 4 · dimension bytes each; and the tokens of the texts to embed (see `tokens`).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtl_pipeline.embedding.encoder import Progress
from mtl_pipeline.embedding.fidelity import Fidelity
from mtl_pipeline.embedding.runtimes import EXACT, Variant
from mtl_pipeline.embedding.source import EncoderFiles, find_encoder_files
from mtl_pipeline.embedding.unfinished import Unfinished
from mtl_pipeline.embedding.variants import Variants
from mtl_pipeline.errors import UserError
from mtl_pipeline.publishing import ensure_writable
from mtl_pipeline.spec import Encoder
from mtl_pipeline.vectors import TEXT_HASH_BYTES, Vectors, content_fingerprint, read_vectors, write_vectors

Log = Callable[[str], None]


@dataclass(frozen=True)
class EmbeddingSummary:
    rows: int
    rows_without_text: int
    """NULL, empty or blank text: a zero vector."""
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


def embed_texts(
    texts: pa.Table,
    encoder: Encoder,
    target: Path,
    *,
    exported: Path | None = None,
    device: str | None = None,
    progress: Progress | None = None,
    log: Log = print,
) -> EmbeddingSummary:
    """Embed `texts` (columns `id` and `text`) into the Parquet file `target`, in the same order.

    `exported`: the folder where runtimes keep what they make of encoders, by default beside `target`.
    `progress(done, total)` is called after each batch with numbers of texts. The old file stays in place
    until the new one is complete; where it is damaged, no vector is taken over from it, and `log` says so.
    Raises UserError when the encoder cannot be found or loaded, or `target` cannot be written.
    """
    started = time.perf_counter()
    ensure_writable(target)
    distinct = distinct_texts(texts["text"])
    files, folder = find_encoder_files(encoder), exported or target.parent / "encoders"
    variants = Variants(files, encoder, distinct.texts, folder, target.stem, device)
    made = embed_distinct(distinct, stored_vectors(target, log), variants, target, progress, log)
    ids, vectors = texts["id"].combine_chunks(), made.vectors[distinct.rows]
    hashes = distinct.hashes.take(pa.array(distinct.rows))
    write_vectors(target, ids, vectors, hashes, describe(encoder, files, made))
    made.unfinished.remove()
    return EmbeddingSummary(
        rows=len(ids),
        rows_without_text=int(np.count_nonzero(distinct.rows == len(distinct.texts))),
        distinct_texts=len(distinct.texts),
        reused_texts=made.reused,
        tokens=made.tokens,
        dimension=vectors.shape[1],
        encoder_fingerprint=made.fingerprint,
        device=made.device,
        runtime=made.variant.runtime,
        precision=made.variant.precision,
        fidelity=made.fidelity,
        seconds=time.perf_counter() - started,
        fingerprint=content_fingerprint(ids, vectors),
    )


@dataclass(frozen=True)
class Made:
    """Of distinct texts."""

    vectors: np.ndarray
    """float32 [d + 1, dimension]; the last is that of no text."""
    reused: int
    tokens: int
    variant: Variant
    fingerprint: str
    """Of the encoder."""
    fidelity: Fidelity | None
    device: str
    unfinished: Unfinished
    """To be removed once these are published."""


def embed_distinct(
    distinct: DistinctTexts,
    stored: Vectors | None,
    variants: Variants,
    target: Path,
    progress: Progress | None,
    log: Log,
) -> Made:
    """Vectors from where the same encoder left them, at `target` or in a run that was killed, else from the encoder."""
    variant, fingerprint = variants.choose(stored)
    fidelity, encoder, sources = None, None, []
    measured = stored.metadata.get("fidelity") if stored else None
    # What was made without a text was not measured: it is on the first night that has one.
    same = stored and stored.metadata.get("encoder_fingerprint") == fingerprint
    if stored and same and (measured or variant == EXACT or not len(distinct.texts)):
        fidelity = Fidelity(**json.loads(measured)) if measured else None
        sources.append((stored.text_hashes, stored.vectors))
    else:
        encoder, variant, fidelity = variants.checked(variant, log)
        fingerprint = variants.fingerprint(variant)
    unfinished = Unfinished(target, fingerprint)
    if some := unfinished.read():
        log(f"Going on with {len(some[0]):,} texts of a run that did not finish")
        sources.append(some)
    known, vectors = taken_over(distinct, sources)
    tokens, device, new = 0, "none", np.flatnonzero(~known)
    if vectors is None or len(new):
        encoder = encoder or variants.load(variant)
        hashes = distinct.hashes.take(pa.array(new))
        computed, tokens = encoder.encode(
            distinct.texts.take(pa.array(new)),
            progress,
            lambda rows, found: unfinished.add(hashes.take(pa.array(rows)), found),
        )
        if vectors is None:
            vectors = np.zeros((len(known) + 1, computed.shape[1]), dtype=np.float32)
        vectors[new], device = computed, encoder.runtime.device
    return Made(vectors, len(known) - len(new), tokens, variant, fingerprint, fidelity, device, unfinished)


def taken_over(
    distinct: DistinctTexts, sources: Sequence[tuple[pa.Array, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Which distinct texts one of the sources holds (hashes [n] and vectors [n, dimension]), bool [d]; and the vectors
    of all, float32 [d + 1, dimension], 0 where none does. Without sources there are none."""
    known, vectors = np.zeros(len(distinct.texts), dtype=bool), None
    for hashes, held in sources:
        if vectors is None:
            vectors = np.zeros((len(known) + 1, held.shape[1]), dtype=np.float32)
        places = pc.index_in(distinct.hashes.slice(0, len(known)), value_set=hashes)
        places = places.cast(pa.int64()).fill_null(-1).to_numpy()
        found = np.flatnonzero(places >= 0)
        vectors[found] = held[places[found]]
        known[found] = True
    return known, vectors


@dataclass(frozen=True)
class DistinctTexts:
    texts: pa.Array
    """large_string [d], in order of first appearance."""
    hashes: pa.Array
    """fixed_size_binary(16) [d + 1]: BLAKE2b of each text; the last is that of no text."""
    rows: np.ndarray
    """int64 [n]: the position of each row's text in `texts`; `d` where it has none."""


def distinct_texts(column: pa.ChunkedArray) -> DistinctTexts:
    """The distinct texts of a string column [n]."""
    column = column.cast(pa.large_string())
    blank = pc.equal(pc.utf8_trim_whitespace(column), "")
    present = pc.if_else(blank, pa.scalar(None, pa.large_string()), column)
    encoded = present.combine_chunks().dictionary_encode()
    texts = encoded.dictionary
    rows = encoded.indices.cast(pa.int64()).fill_null(len(texts)).to_numpy()
    hashes = [text_hash(text) for text in (*texts.to_pylist(), "")]
    return DistinctTexts(texts, pa.array(hashes, pa.binary(TEXT_HASH_BYTES)), rows)


def text_hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=TEXT_HASH_BYTES).digest()


def stored_vectors(target: Path, log: Log) -> Vectors | None:
    """The vectors at `target`. A damaged file counts as none."""
    if not target.is_file():
        return None
    try:
        return read_vectors(target)
    except UserError as error:
        log(f"No vector is taken over, every text is embedded anew: {error}")
        return None


def describe(encoder: Encoder, files: EncoderFiles, made: Made) -> dict[str, str]:
    """The file's metadata: what made these vectors."""
    description = encoder.model_dump(exclude_none=True, exclude={"batch_size"}) | made.variant._asdict()
    description |= {"transformers": version("transformers")}
    if files.commit:
        description["commit"] = files.commit
    metadata = {"encoder_fingerprint": made.fingerprint, "encoder": json.dumps(description)}
    return metadata | ({"fidelity": json.dumps(made.fidelity._asdict())} if made.fidelity else {})
