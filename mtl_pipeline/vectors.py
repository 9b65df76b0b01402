"""The Parquet file of text vectors: its layout, written and read in one place.

One row for each row of a table, in its order:

    id         the table's key
    vector     fixed_size_list<float32>[dimension], or of float16 where that is declared
    text_hash  16 bytes: which text the vector stands for

The file's metadata holds where the vectors come from, `encoder_fingerprint` (hex) and `encoder` (JSON), and the
`checksum` of the whole file (see `checksums`).

Vectors are neither compressed nor dictionary-encoded: random mantissas do not shrink, and trying takes most of the
time. Values are declared non-nullable, which makes reading three to four times as fast.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mtl_pipeline.checksums import BLOCK, UNSEALED, seal, verify_seal
from mtl_pipeline.errors import UserError
from mtl_pipeline.publishing import publish_file

TEXT_HASH_BYTES = 16
ROWS_PER_GROUP = 65_536
"""Bounds what writing holds: 100 MB at 384 dimensions."""
ROWS_PER_READ = 16_384


class Vectors(NamedTuple):
    ids: pa.Array
    """[n], of the type of the table's key."""
    vectors: np.ndarray
    """float32 [n, dimension], contiguous and writable: `torch.from_numpy` takes it without a copy."""
    text_hashes: pa.Array
    """fixed_size_binary(16) [n]."""
    metadata: dict[str, str]


@dataclass(frozen=True)
class VectorsFile:
    """An open file, of which no more than is asked for is in memory."""

    file: pq.ParquetFile
    metadata: dict[str, str]

    @property
    def rows(self) -> int:
        return self.file.metadata.num_rows

    @property
    def type(self) -> pa.FixedSizeListType:
        return self.file.schema_arrow.field("vector").type

    def keeps(self, storage: str) -> bool:
        """Whether a file of such storage would lose nothing that this one has lost."""
        return storage != "float32" or self.type.value_type == pa.float32()

    def column(self, name: str) -> pa.Array:
        """`id` or `text_hash`."""
        return self.file.read(columns=[name])[name].combine_chunks()

    def parts(self) -> Iterator[tuple[int, np.ndarray]]:
        """The vectors, float32 [≤ ROWS_PER_READ, dimension], one part after the other, each with its first row."""
        start = 0
        for batch in self.file.iter_batches(ROWS_PER_READ, columns=["vector"]):
            values = batch["vector"].flatten().to_numpy()
            yield start, values.reshape(-1, self.type.list_size).astype(np.float32, copy=False)
            start += len(batch)


def write_vectors(
    target: Path, ids: pa.Array, vectors: np.ndarray, text_hashes: pa.Array, metadata: Mapping[str, str]
) -> None:
    """Publish `vectors` (float32 [n, dimension]) with their ids [n] and text hashes [n] at `target`."""
    write_groups(target, ids, vectors.shape[1], lambda rows: (vectors[rows], text_hashes[rows]), metadata)


def write_groups(
    target: Path,
    ids: pa.Array,
    dimension: int,
    read: Callable[[slice], tuple[np.ndarray, pa.Array]],
    metadata: Mapping[str, str],
    storage: str = "float32",
) -> str:
    """Publish vectors at `target`, and return their content's fingerprint. `read(rows)` gives the vectors, float32
    [rows, dimension], and text hashes [rows] of so many rows at a time as one row group holds. `storage`: of what type
    they are in the file."""
    element = {"float32": pa.float32(), "float16": pa.float16()}[storage]
    vector_type = pa.list_(pa.field("element", element, nullable=False), dimension)
    schema = pa.schema(
        [
            pa.field("id", ids.type),
            pa.field("vector", vector_type, nullable=False),
            pa.field("text_hash", pa.binary(TEXT_HASH_BYTES), nullable=False),
        ],
        metadata=UNSEALED | dict(metadata),
    )
    layout = {"compression": "none", "use_dictionary": False, "write_statistics": ["id"]}
    digest = digest_of(ids)

    def group(rows: slice) -> pa.Table:
        vectors, hashes = read(rows)
        most = np.finfo(storage).max
        values = np.ascontiguousarray(vectors.clip(-most, most), dtype=storage).reshape(-1)
        digest.update(values.astype(np.float32, copy=False).data)
        column = pa.FixedSizeListArray.from_arrays(pa.array(values), type=vector_type)
        return pa.table([ids[rows], column, hashes], schema=schema)

    with publish_file(target) as temporary:
        with pq.ParquetWriter(temporary, schema, **layout) as file:
            for start in range(0, max(len(ids), 1), ROWS_PER_GROUP):
                file.write_table(group(slice(start, min(start + ROWS_PER_GROUP, len(ids)))))
        seal(temporary)
    return digest.hexdigest()


@contextmanager
def open_vectors(path: Path) -> Iterator[VectorsFile]:
    """The file at `path`, after comparing it with its checksum, whatever happens to its name meanwhile.

    Raises UserError when it is missing or damaged.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file of text vectors. Materialize the embeddings first.")
    with path.open("rb") as content:
        verify_seal(content, path)
        # By itself it would hold all of the file (`pre_buffer`), or a column of a row group.
        file = pq.ParquetFile(content, pre_buffer=False, buffer_size=BLOCK)
        metadata = {key.decode(): value.decode() for key, value in file.schema_arrow.metadata.items()}
        yield VectorsFile(file, {key: metadata[key] for key in metadata if key not in UNSEALED})


def read_vectors(path: Path) -> Vectors:
    """All of the file at `path`. Raises UserError as `open_vectors` does."""
    with open_vectors(path) as file:
        vectors = np.empty((file.rows, file.type.list_size), dtype=np.float32)
        for start, part in file.parts():
            vectors[start : start + len(part)] = part
        return Vectors(file.column("id"), vectors, file.column("text_hash"), file.metadata)


def content_fingerprint(ids: pa.Array, vectors: np.ndarray) -> str:
    """SHA-256 (hex) of ids and vectors: equal content, equal fingerprint, whatever the file looks like."""
    digest = digest_of(ids)
    digest.update(np.ascontiguousarray(vectors).reshape(-1).data)
    return digest.hexdigest()


def file_fingerprint(path: Path) -> str:
    """`content_fingerprint` of the file at `path`. Raises UserError as `open_vectors` does."""
    with open_vectors(path) as file:
        digest = digest_of(file.column("id"))
        for _, part in file.parts():
            digest.update(np.ascontiguousarray(part).reshape(-1).data)
        return digest.hexdigest()


def digest_of(ids: pa.Array) -> hashlib._Hash:
    """SHA-256 of the ids as Python writes their list, of which only a part is ever in memory."""
    digest = hashlib.sha256(b"[")
    for start in range(0, len(ids), ROWS_PER_READ):
        some = repr(ids.slice(start, ROWS_PER_READ).to_pylist())[1:-1]
        digest.update((", " * bool(start) + some).encode())
    digest.update(b"]")
    return digest
