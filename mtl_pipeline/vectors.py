"""The Parquet file of text vectors: its layout, written and read in one place.

One row for each row of a table, in its order:

    id         the table's key
    vector     fixed_size_list<float32>[dimension]
    text_hash  16 bytes: which text the vector stands for

The file's metadata holds where the vectors come from, `encoder_fingerprint` (hex) and `encoder` (JSON), and the
`checksum` of the whole file (see `checksums`).

Vectors are neither compressed nor dictionary-encoded: random mantissas do not shrink, and trying takes most of the
time. Values are declared non-nullable, which makes reading three to four times as fast.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mtl_pipeline.checksums import UNSEALED, seal, verify_seal
from mtl_pipeline.errors import UserError
from mtl_pipeline.publishing import publish_file

TEXT_HASH_BYTES = 16
ROWS_PER_GROUP = 65_536
"""Bounds what reading holds twice: 100 MB at 384 dimensions."""


class Vectors(NamedTuple):
    ids: pa.Array
    """[n], of the type of the table's key."""
    vectors: np.ndarray
    """float32 [n, dimension], contiguous and writable: `torch.from_numpy` takes it without a copy."""
    text_hashes: pa.Array
    """fixed_size_binary(16) [n]."""
    metadata: dict[str, str]


def write_vectors(
    target: Path, ids: pa.Array, vectors: np.ndarray, text_hashes: pa.Array, metadata: Mapping[str, str]
) -> None:
    """Publish `vectors` (float32 [n, dimension]) with their ids [n] and text hashes [n] at `target`."""
    vector_type = pa.list_(pa.field("element", pa.float32(), nullable=False), vectors.shape[1])
    schema = pa.schema(
        [
            pa.field("id", ids.type),
            pa.field("vector", vector_type, nullable=False),
            pa.field("text_hash", pa.binary(TEXT_HASH_BYTES), nullable=False),
        ],
        metadata=UNSEALED | dict(metadata),
    )
    values = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(values, type=vector_type)
    with publish_file(target) as temporary:
        pq.write_table(
            pa.table([ids, column, text_hashes], schema=schema),
            temporary,
            compression="none",
            use_dictionary=False,
            write_statistics=["id"],
            row_group_size=ROWS_PER_GROUP,
        )
        seal(temporary)


def read_vectors(path: Path) -> Vectors:
    """All of the file at `path`, one row group at a time, after comparing it with its checksum.

    Raises UserError when the file is missing or damaged.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file of text vectors. Materialize the embeddings first.")
    with path.open("rb") as content:
        verify_seal(content, path)
        file = pq.ParquetFile(content)
        ids, hashes = (column.combine_chunks() for column in file.read(columns=["id", "text_hash"]).columns)
        dimension = file.schema_arrow.field("vector").type.list_size
        vectors = np.empty((file.metadata.num_rows, dimension), dtype=np.float32)
        start = 0
        for group in range(file.num_row_groups):
            for chunk in file.read_row_group(group, columns=["vector"])["vector"].chunks:
                vectors[start : start + len(chunk)] = chunk.flatten().to_numpy().reshape(-1, dimension)
                start += len(chunk)
        metadata = {key.decode(): value.decode() for key, value in file.schema_arrow.metadata.items()}
    return Vectors(ids, vectors, hashes, {key: metadata[key] for key in metadata if key not in UNSEALED})


def content_fingerprint(ids: pa.Array, vectors: np.ndarray) -> str:
    """SHA-256 (hex) of ids and vectors: equal content, equal fingerprint, whatever the file looks like."""
    digest = hashlib.sha256(repr(ids.to_pylist()).encode())
    digest.update(np.ascontiguousarray(vectors).reshape(-1).data)
    return digest.hexdigest()


def file_fingerprint(path: Path) -> str:
    """`content_fingerprint` of the file at `path`. Raises UserError as `read_vectors` does."""
    ids, vectors, *_ = read_vectors(path)
    return content_fingerprint(ids, vectors)
