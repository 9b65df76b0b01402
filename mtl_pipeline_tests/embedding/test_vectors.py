"""The Parquet file of vectors: the contract between who embeds and who reads."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl_pipeline.errors import UserError
from mtl_pipeline.vectors import (
    ROWS_PER_GROUP,
    content_fingerprint,
    open_vectors,
    read_vectors,
    write_groups,
    write_vectors,
)
from mtl_pipeline_tests.faults.flips import noticed

METADATA = {"encoder_fingerprint": "ab12", "encoder": '{"package": "ü"}'}


def random_vectors(rows: int, dimension: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((rows, dimension), dtype=np.float32)


def write(path: Path, ids: pa.Array, dimension: int = 4) -> np.ndarray:
    vectors = random_vectors(len(ids), dimension)
    hashes = pa.array([number.to_bytes(16, "big") for number in range(len(ids))], pa.binary(16))
    write_vectors(path, ids, vectors, hashes, METADATA)
    return vectors


@pytest.mark.parametrize("rows", [0, 1, 5, ROWS_PER_GROUP + 3])
def test_what_is_written_is_read(tmp_path: Path, rows: int):
    path = tmp_path / "vectors.parquet"
    ids = pa.array(range(rows), pa.int32())
    written = write(path, ids)
    read = read_vectors(path)
    assert read.ids == ids
    assert read.metadata == METADATA
    np.testing.assert_array_equal(read.vectors, written)
    assert read.vectors.dtype == np.float32
    assert read.vectors.flags.writeable
    assert len(read.text_hashes) == rows


def test_reading_part_by_part_holds_a_part(tmp_path: Path):
    path = tmp_path / "v.parquet"
    written = write(path, pa.array(range(3 * ROWS_PER_GROUP), pa.int32()), dimension=64)
    before, most = pa.total_allocated_bytes(), 0
    with open_vectors(path) as file:
        for start, part in file.parts():
            np.testing.assert_array_equal(part, written[start : start + len(part)])
            most = max(most, pa.total_allocated_bytes() - before)
    assert most < written.nbytes / 2


def test_keys_of_text(tmp_path: Path):
    write(tmp_path / "v.parquet", pa.array(["x", "y"]))
    assert read_vectors(tmp_path / "v.parquet").ids == pa.array(["x", "y"])


def test_layout(tmp_path: Path):
    path = tmp_path / "v.parquet"
    write(path, pa.array([1, 2, 3]), dimension=7)
    vector = pq.read_schema(path).field("vector").type
    assert pa.types.is_fixed_size_list(vector)
    assert (vector.value_type, vector.list_size) == (pa.float32(), 7)
    group = pq.read_metadata(path).row_group(0)
    assert {group.column(column).compression for column in range(group.num_columns)} == {"UNCOMPRESSED"}
    assert not any(group.column(column).has_dictionary_page for column in range(group.num_columns))


def test_sql_reads_it_too(tmp_path: Path):
    path = tmp_path / "v.parquet"
    written = write(path, pa.array([5, 6]))
    rows = duckdb.execute(
        "select id, list_sum(vector) from read_parquet(?) order by id", [str(path)]
    ).fetchall()
    assert [row[0] for row in rows] == [5, 6]
    np.testing.assert_allclose([row[1] for row in rows], written.sum(axis=1), rtol=1e-5)


def test_a_writer_killed_midway_leaves_the_old_file(tmp_path: Path):
    """The kernel kills the writer at the first byte beyond a limit on file size."""
    path = tmp_path / "v.parquet"
    old = write(path, pa.array([5, 6]))
    script = f"""
import resource, signal
import numpy as np, pyarrow as pa
from pathlib import Path
from mtl_pipeline.vectors import write_vectors
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
ids, hashes = pa.array(range(1000)), pa.array([bytes(16)] * 1000, pa.binary(16))
write_vectors(Path({str(path)!r}), ids, np.zeros((1000, 64), np.float32), hashes, {{}})
"""
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGXFSZ, killed.stderr
    assert len(list(tmp_path.iterdir())) == 2, "no half-written file beside the old one: it died too early"
    np.testing.assert_array_equal(read_vectors(path).vectors, old)


def test_a_missing_file(tmp_path: Path):
    with pytest.raises(UserError, match=rf"{tmp_path}/v.parquet: there is no .*Materialize the embeddings"):
        read_vectors(tmp_path / "v.parquet")


def test_a_file_of_another_kind(tmp_path: Path):
    """Also one that this project wrote before files carried a checksum."""
    path = tmp_path / "embeddings" / "items.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"id": [1]}), path)
    with pytest.raises(
        UserError, match=r"items.parquet holds no checksum .*materialize item_embeddings again"
    ):
        read_vectors(path)


def test_no_flipped_bit_is_read(tmp_path: Path):
    """Of vectors, ids, hashes and metadata alike; nor one that would matter to nobody."""
    path = tmp_path / "embeddings" / "items.parquet"
    write(path, pa.array(["a", "b"]))
    bits = range(0, path.stat().st_size * 8, 37)
    again = "materialize item_embeddings again"
    assert noticed(path, bits, lambda: read_vectors(path).metadata, again) == len(bits)


def test_the_content_fingerprint_sees_ids_values_and_order():
    ids, vectors = pa.array([1, 2, 3]), random_vectors(3, 4)
    nudged = vectors.copy()
    nudged[1, 1] += 1e-3
    prints = {
        content_fingerprint(ids, vectors),
        content_fingerprint(pa.array([1, 2, 4]), vectors),
        content_fingerprint(ids, nudged),
        content_fingerprint(ids, vectors[::-1]),
    }
    assert len(prints) == 4


def test_the_content_fingerprint_does_not_see_how_arrays_lie_in_memory():
    whole, vectors = pa.array(["a", "b", "c", "d"]), random_vectors(4, 4)
    assert content_fingerprint(whole.slice(1, 2), vectors[1:3]) == content_fingerprint(
        pa.array(["b", "c"]), np.asfortranarray(vectors[1:3])
    )


def test_numbers_beyond_float16_are_the_largest_it_has(tmp_path: Path) -> None:
    vectors = np.array([[1e6, -1e6, 1.0]], dtype=np.float32)
    hashes = pa.array([bytes(16)], pa.binary(16))
    ids = pa.array([1])
    write_groups(tmp_path / "v.parquet", ids, 3, lambda rows: (vectors[rows], hashes[rows]), {}, "float16")
    assert read_vectors(tmp_path / "v.parquet").vectors.tolist() == [[65504.0, -65504.0, 1.0]]
