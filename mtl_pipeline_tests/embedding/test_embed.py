"""The stage as a whole: a table of texts in, a Parquet file and a summary out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from mtl_pipeline.embedding import EmbeddingSummary, embed_texts
from mtl_pipeline.embedding.encoder import TextEncoder
from mtl_pipeline.embedding.store import pieces
from mtl_pipeline.errors import UserError
from mtl_pipeline.spec import Encoder
from mtl_pipeline.vectors import read_vectors

MOVIES = pa.table(
    {
        "id": pa.array([10, 20, 30, 40, 50, 60], pa.int64()),
        "text": ["red boat", "a tale of war", "red boat", None, "", " \t "],
    }
)


@pytest.fixture
def tiny(tiny_bert: Path) -> Encoder:
    return Encoder(folder=str(tiny_bert), max_tokens=32, runtime="torch", precision="float32")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "embeddings" / "items.parquet"


def with_text(table: pa.Table, row: int, text: str) -> pa.Table:
    texts = table["text"].to_pylist()
    texts[row] = text
    return table.set_column(1, "text", pa.array(texts, pa.string()))


def embed(texts: pa.Table, encoder: Encoder, target: Path) -> tuple[EmbeddingSummary, list[tuple[int, int]]]:
    calls: list[tuple[int, int]] = []
    summary = embed_texts(
        texts.to_batches(), encoder, target, device="cpu", progress=lambda *call: calls.append(call)
    )
    return summary, calls


def test_the_default_encoder_end_to_end(minilm: TextEncoder, minilm_settings: Encoder, target: Path):
    exact = minilm_settings.model_copy(update={"runtime": "torch", "precision": "float32"})
    summary = embed_texts(MOVIES.to_batches(), exact, target, device="cpu")
    ids, vectors, *_ = read_vectors(target)
    assert ids == MOVIES["id"].combine_chunks()
    assert vectors.shape == (6, 384)
    expected, _ = minilm.encode(pa.array(["a tale of war"]))
    np.testing.assert_allclose(vectors[1], expected[0], atol=1e-5)
    assert (summary.rows, summary.dimension, summary.device) == (6, 384, "cpu")


def test_rows_are_in_order_of_their_ids_and_equal_texts_share_a_vector(tiny: Encoder, target: Path):
    embed_texts(MOVIES.to_batches(), tiny, target)
    ids, vectors, *_ = read_vectors(target)
    assert ids.to_pylist() == [10, 20, 30, 40, 50, 60]
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert np.abs(vectors[0] - vectors[1]).max() > 0.01

    reverse = MOVIES.take(list(range(5, -1, -1)))
    embed_texts(reverse.to_batches(), tiny, target.with_name("reverse.parquet"))
    np.testing.assert_allclose(read_vectors(target.with_name("reverse.parquet")).vectors, vectors, atol=1e-6)


def test_each_distinct_text_is_computed_once(tiny: Encoder, target: Path):
    summary, calls = embed(MOVIES, tiny, target)
    assert calls == [(2, 2)]
    assert summary.distinct_texts == 2
    assert summary.tokens == 4 + 6  # [CLS] red boat [SEP], [CLS] a tale of war [SEP]


@pytest.mark.parametrize("texts_per_chunk", [2, 16_384])
def test_progress_counts_texts_up_to_all(
    tiny: Encoder, target: Path, monkeypatch: pytest.MonkeyPatch, texts_per_chunk: int
):
    monkeypatch.setattr("mtl_pipeline.embedding.embed.TEXTS_PER_CHUNK", texts_per_chunk)
    texts = pa.table({"id": list(range(5)), "text": ["red", "blue", "green", "old", "ice"]})
    _, calls = embed(texts, tiny.model_copy(update={"batch_size": 2}), target)
    assert calls == [(2, 5), (4, 5), (5, 5)]


def test_no_text_is_the_zero_vector(tiny: Encoder, target: Path):
    summary, _ = embed(MOVIES, tiny, target)
    vectors = read_vectors(target).vectors
    assert not vectors[3:].any()
    assert vectors[:3].any(axis=1).all()
    assert summary.rows_without_text == 3


@pytest.mark.parametrize("texts", [[], [None, ""]], ids=["no rows", "no texts"])
def test_nothing_to_embed(tiny: Encoder, target: Path, texts: list[str | None]):
    table = pa.table({"id": pa.array(range(len(texts)), pa.int64()), "text": pa.array(texts, pa.string())})
    summary, calls = embed(table, tiny, target)
    assert calls == []
    assert (summary.distinct_texts, summary.dimension) == (0, 16)
    assert read_vectors(target).vectors.shape == (len(texts), 16)


def test_tables_from_polars_with_string_keys(tiny: Encoder, target: Path):
    table = pl.DataFrame({"id": ["b", "a"], "text": ["red boat", None]}).to_arrow()
    embed_texts(table.to_batches(), tiny, target)
    assert read_vectors(target).ids.to_pylist() == ["a", "b"]


def test_the_file_tells_what_made_it(tiny: Encoder, target: Path):
    summary, _ = embed(MOVIES, tiny, target)
    metadata = read_vectors(target).metadata
    assert metadata["encoder_fingerprint"] == summary.encoder_fingerprint
    encoder = json.loads(metadata["encoder"])
    assert encoder.pop("transformers")
    assert encoder == {
        "folder": tiny.folder,
        "pooling": "mean",
        "prompt": "",
        "layers": [-1],
        "max_tokens": 32,
        "long_texts": "cut",
        "normalised": False,
        "runtime": "torch",
        "precision": "float32",
    }


def test_only_a_changed_text_is_computed_again(tiny: Encoder, target: Path):
    embed_texts(MOVIES.to_batches(), tiny, target)
    before = read_vectors(target).vectors
    summary, calls = embed(with_text(MOVIES, 1, "old green train"), tiny, target)
    after = read_vectors(target).vectors
    assert calls == [(1, 1)]
    assert (summary.distinct_texts, summary.reused_texts) == (2, 1)
    assert (before != after).any(axis=1).tolist() == [False, True, False, False, False, False]


@pytest.mark.parametrize(
    "texts", [["a tale of war", "red boat"], ["ice", "red boat", "a tale of war"]], ids=["known", "one new"]
)
def test_reuse_goes_by_text_not_by_id_or_place(tiny: Encoder, target: Path, texts: list[str]):
    embed_texts(MOVIES.to_batches(), tiny, target)
    before = dict(zip(MOVIES["text"].to_pylist(), read_vectors(target).vectors, strict=True))
    summary, _ = embed(pa.table({"id": list(range(len(texts))), "text": texts}), tiny, target)
    after = dict(zip(texts, read_vectors(target).vectors, strict=True))
    assert (summary.distinct_texts, summary.reused_texts) == (len(texts), 2)
    for text in ("red boat", "a tale of war"):
        np.testing.assert_array_equal(after[text], before[text])


def test_a_row_that_gets_its_first_text(tiny: Encoder, target: Path):
    embed_texts(MOVIES.to_batches(), tiny, target)
    summary, _ = embed(with_text(MOVIES, 3, "blue hat"), tiny, target)
    assert (summary.reused_texts, summary.rows_without_text) == (2, 2)
    assert read_vectors(target).vectors[3].any()


def test_another_encoder_reuses_nothing(tiny: Encoder, target: Path):
    first, _ = embed(MOVIES, tiny, target)
    second, calls = embed(MOVIES, tiny.model_copy(update={"pooling": "cls"}), target)
    assert second.reused_texts == 0
    assert calls == [(2, 2)]
    assert second.encoder_fingerprint != first.encoder_fingerprint
    assert second.fingerprint != first.fingerprint


def flipped_bit(content: bytes) -> bytes:
    """In the middle, among the vectors."""
    return (
        content[: len(content) // 2]
        + bytes([content[len(content) // 2] ^ 1])
        + content[len(content) // 2 + 1 :]
    )


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-100], flipped_bit], ids=["truncated", "flipped bit"]
)
def test_a_damaged_old_file_is_replaced_and_nothing_of_it_taken_over(
    tiny: Encoder, target: Path, damage: Callable[[bytes], bytes]
):
    first, _ = embed(MOVIES, tiny, target)
    target.write_bytes(damage(target.read_bytes()))
    lines: list[str] = []
    second = embed_texts(MOVIES.to_batches(), tiny, target, log=lines.append)
    assert second.reused_texts == 0
    assert second.fingerprint == first.fingerprint
    assert len(lines) == 1
    assert f"all are computed anew: {target} " in lines[0]


def test_a_run_without_news_gives_the_same_content_and_loads_no_model(tiny: Encoder, target: Path):
    first, _ = embed(MOVIES, tiny, target)
    script = f"""
import sys
import pyarrow as pa
from pathlib import Path
from mtl_pipeline.embedding import embed_texts
from mtl_pipeline.spec import Encoder
texts = pa.table({MOVIES.to_pydict()})
summary = embed_texts(texts.to_batches(), Encoder(**{tiny.model_dump()}), Path({str(target)!r}))
print(summary.fingerprint, summary.device, summary.tokens, "torch" in sys.modules)
"""
    again = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert again.stdout.split() == [first.fingerprint, "none", "0", "False"], again.stderr


def test_an_interrupted_run_leaves_the_old_file_and_nothing_else(tiny: Encoder, target: Path):
    embed_texts(MOVIES.to_batches(), tiny, target)
    before = target.read_bytes()

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_texts(with_text(MOVIES, 1, "ice").to_batches(), tiny, target, progress=interrupt)
    assert target.read_bytes() == before
    assert list(target.parent.iterdir()) == [target]


def test_a_killed_run_is_gone_on_with(tiny: Encoder, target: Path, monkeypatch: pytest.MonkeyPatch):
    """Also when other texts have come, and one of the pieces has been damaged."""
    monkeypatch.setattr(pieces, "SECONDS_BETWEEN", 0.0)
    one_by_one = tiny.model_copy(update={"batch_size": 1})
    texts = pa.table(
        {"id": list(range(6)), "text": ["red", "blue sea", "a tale of war", "ice", "old train", "hat"]}
    )

    def kill(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_texts(texts.to_batches(), one_by_one, target, progress=kill)
    *_, last = sorted(target.parent.glob(".items.parquet.unfinished/*/*.parquet"))
    last.write_bytes(flipped_bit(last.read_bytes()))
    lines: list[str] = []
    calls: list[tuple[int, int]] = []
    other = with_text(texts, 5, "green hat")
    summary = embed_texts(
        other.to_batches(), one_by_one, target, progress=lambda *call: calls.append(call), log=lines.append
    )
    damaged, going_on = lines
    assert damaged == f"{last} is damaged: the vectors that it held are computed anew"
    assert going_on == "Going on with 3 vectors of a run that did not finish"
    assert (summary.reused_texts, calls[-1]) == (3, (3, 3))
    undisturbed = embed_texts(other.to_batches(), one_by_one, target.with_name("other.parquet"))
    assert summary.fingerprint == undisturbed.fingerprint
    assert sorted(path.name for path in target.parent.iterdir()) == ["items.parquet", "other.parquet"]


def test_another_encoder_takes_nothing_of_a_killed_run(
    tiny: Encoder, target: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pieces, "SECONDS_BETWEEN", 0.0)

    def kill(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_texts(MOVIES.to_batches(), tiny, target, progress=kill)
    summary = embed_texts(MOVIES.to_batches(), tiny.model_copy(update={"pooling": "cls"}), target)
    assert summary.reused_texts == 0
    assert list(target.parent.iterdir()) == [target]


def test_a_missing_encoder_leaves_the_old_file(tiny: Encoder, target: Path):
    embed_texts(MOVIES.to_batches(), tiny, target)
    before = target.read_bytes()
    with pytest.raises(UserError, match="encoder: package: gt_no_such_bert in"):
        embed_texts(MOVIES.to_batches(), Encoder(package="gt_no_such_bert"), target)
    assert target.read_bytes() == before


def test_text_hashes_tell_texts_apart(tiny: Encoder, target: Path):
    embed_texts(MOVIES.to_batches(), tiny, target)
    hashes = read_vectors(target).text_hashes.to_pylist()
    assert hashes[0] == hashes[2] != hashes[1]
    assert hashes[3] == hashes[4] == hashes[5]
