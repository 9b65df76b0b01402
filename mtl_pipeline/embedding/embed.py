"""The stage: a table of texts becomes a file of vectors, and no vector is computed twice.

Each distinct text is embedded once. One that is NULL, empty or only white space is *no text*: its vector is zero,
which no encoder gives to a real text, so that a model can learn what having no text means.

The file that is replaced serves as the store: where its encoder has the same fingerprint, vectors are
taken over by text hash. A night on which nothing changed loads no model, not even torch.

Memory: the vectors of all rows and of the distinct texts, plus those of the old file while they are
compared, 4 · dimension bytes each; and the tokens of the texts to embed (see `tokens`).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtl_pipeline.embedding.source import DTYPE, EncoderFiles, encoder_fingerprint, find_encoder_files
from mtl_pipeline.errors import UserError
from mtl_pipeline.publishing import ensure_writable
from mtl_pipeline.spec import Encoder
from mtl_pipeline.vectors import TEXT_HASH_BYTES, Vectors, content_fingerprint, read_vectors, write_vectors

if TYPE_CHECKING:
    from mtl_pipeline.embedding.encoder import Progress

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
    seconds: float
    fingerprint: str
    """SHA-256 of ids and vectors."""


def embed_texts(
    texts: pa.Table,
    encoder: Encoder,
    target: Path,
    *,
    device: str | None = None,
    progress: Progress | None = None,
    log: Log = print,
) -> EmbeddingSummary:
    """Embed `texts` (columns `id` and `text`) into the Parquet file `target`, in the same order.

    `progress(done, total)` is called after each batch with numbers of texts. The old file stays in place
    until the new one is complete; where it is damaged, no vector is taken over from it, and `log` says so.
    Raises UserError when the encoder cannot be found or loaded, or `target` cannot be written.
    """
    started = time.perf_counter()
    ensure_writable(target)
    files = find_encoder_files(encoder)
    encoder_id = encoder_fingerprint(files, encoder)
    distinct = distinct_texts(texts["text"])
    by_text, reused, tokens, used_device = embed_distinct(
        distinct, stored_vectors(target, encoder_id, log), files, encoder, device, progress
    )
    ids, vectors = texts["id"].combine_chunks(), by_text[distinct.rows]
    hashes = distinct.hashes.take(pa.array(distinct.rows))
    write_vectors(target, ids, vectors, hashes, describe(encoder, files, encoder_id))
    return EmbeddingSummary(
        rows=len(ids),
        rows_without_text=int(np.count_nonzero(distinct.rows == len(distinct.texts))),
        distinct_texts=len(distinct.texts),
        reused_texts=reused,
        tokens=tokens,
        dimension=vectors.shape[1],
        encoder_fingerprint=encoder_id,
        device=used_device,
        seconds=time.perf_counter() - started,
        fingerprint=content_fingerprint(ids, vectors),
    )


def embed_distinct(
    distinct: DistinctTexts,
    stored: Vectors | None,
    files: EncoderFiles,
    encoder: Encoder,
    device: str | None,
    progress: Progress | None,
) -> tuple[np.ndarray, int, int, str]:
    """Vectors (float32 [d + 1, dimension], the last that of no text) from the store where it has them, else from the
    encoder; then how many came from the store, the tokens read, and the device used."""
    known = np.full(len(distinct.texts), -1) if stored is None else positions_in_store(stored, distinct)
    reused, new = np.flatnonzero(known >= 0), np.flatnonzero(known < 0)
    if stored is None or len(new):
        from mtl_pipeline.embedding.encoder import load_encoder  # imports torch, hence not above

        model = load_encoder(files, encoder, device)
        computed, tokens = model.encode(distinct.texts.take(pa.array(new)), progress)
        used_device = model.model.device.type
    else:
        computed, tokens, used_device = stored.vectors[:0], 0, "none"
    vectors = np.zeros((len(known) + 1, computed.shape[1]), dtype=np.float32)
    vectors[new] = computed
    if stored is not None:
        vectors[reused] = stored.vectors[known[reused]]
    return vectors, len(reused), tokens, used_device


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


def stored_vectors(target: Path, encoder_id: str, log: Log) -> Vectors | None:
    """The vectors at `target`, if this very encoder wrote them. A damaged file counts as none."""
    if not target.is_file():
        return None
    try:
        stored = read_vectors(target)
    except UserError as error:
        log(f"No vector is taken over, every text is embedded anew: {error}")
        return None
    return stored if stored.metadata.get("encoder_fingerprint") == encoder_id else None


def positions_in_store(stored: Vectors, distinct: DistinctTexts) -> np.ndarray:
    """int64 [d]: the row of the store that holds each distinct text, -1 where none does."""
    rows = pc.index_in(distinct.hashes.slice(0, len(distinct.texts)), value_set=stored.text_hashes)
    return rows.cast(pa.int64()).fill_null(-1).to_numpy()


def describe(encoder: Encoder, files: EncoderFiles, encoder_id: str) -> dict[str, str]:
    """The file's metadata: what made these vectors."""
    description = encoder.model_dump(exclude_none=True, exclude={"batch_size"})
    description |= {"dtype": DTYPE, "transformers": version("transformers")}
    if files.commit:
        description["commit"] = files.commit
    return {"encoder_fingerprint": encoder_id, "encoder": json.dumps(description)}
