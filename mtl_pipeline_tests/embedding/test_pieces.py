"""Pieces: what a run leaves to the next one, and what pipelines share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mtl_pipeline.embedding import EmbeddingSummary, embed_texts
from mtl_pipeline.embedding.store import pieces
from mtl_pipeline.spec import Encoder
from mtl_pipeline.vectors import read_vectors
from mtl_pipeline_tests.embedding.conftest import WORDS
from mtl_pipeline_tests.faults.flips import flip

TEXTS = [f"{first} {second} " * (1 + place % 5) for place, first in enumerate(WORDS) for second in WORDS[:10]]


@pytest.fixture
def tiny(tiny_bert: Path) -> Encoder:
    return Encoder(
        folder=str(tiny_bert),
        max_tokens=32,
        runtime="torch",
        precision="float32",
        batch_size=4,
        store="store",
    )


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_PIPELINE_ROOT", str(tmp_path))


def embed(
    encoder: Encoder, target: Path, texts: list[str] = TEXTS, lines: list[str] | None = None, stop: int = 0
) -> EmbeddingSummary:
    def interrupt(done: int, total: int) -> None:
        if done == stop:
            raise KeyboardInterrupt

    log = [] if lines is None else lines
    batch = pa.record_batch({"id": range(len(texts)), "text": texts})
    return embed_texts([batch], encoder, target, device="cpu", log=log.append, progress=interrupt)


def test_a_run_that_goes_on_makes_the_same_batches(
    tiny: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """So its vectors are the same to the last bit, wherever the first one was killed."""
    monkeypatch.setattr(pieces, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr("mtl_pipeline.embedding.embed.TEXTS_PER_CHUNK", 50)
    alone = tiny.model_copy(update={"store": None})
    whole = embed(alone, tmp_path / "whole.parquet")
    for stop in (4, 48, 50, 104):
        target = tmp_path / f"{stop}.parquet"
        with pytest.raises(KeyboardInterrupt):
            embed(alone, target, stop=stop)
        went_on = embed(alone, target)
        assert went_on.reused_texts == stop
        assert went_on.fingerprint == whole.fingerprint


def test_a_text_that_another_pipeline_has_is_not_computed_again(tiny: Encoder, tmp_path: Path):
    first = embed(tiny, tmp_path / "one" / "items.parquet")
    lines: list[str] = []
    second = embed(tiny, tmp_path / "two" / "users.parquet", ["ice ice", *TEXTS[:30]], lines)
    assert (first.reused_texts, second.reused_texts) == (0, 30)
    assert lines == [f"Going on with 30 vectors of the store {tmp_path / 'store'}"]
    one, two = (read_vectors(tmp_path / name).vectors for name in ("one/items.parquet", "two/users.parquet"))
    np.testing.assert_array_equal(two[1:], one[:30])
    assert embed(tiny, tmp_path / "three" / "items.parquet", ["ice ice"]).reused_texts == 1


def test_a_store_that_is_declared_later_gets_what_is_there(tiny: Encoder, tmp_path: Path):
    embed(tiny.model_copy(update={"store": None}), tmp_path / "one.parquet")
    embed(tiny, tmp_path / "one.parquet")
    assert embed(tiny, tmp_path / "two.parquet").reused_texts == len(TEXTS)


def test_another_encoder_finds_nothing_in_the_store(tiny: Encoder, tmp_path: Path):
    embed(tiny, tmp_path / "one.parquet")
    assert embed(tiny.model_copy(update={"pooling": "cls"}), tmp_path / "two.parquet").reused_texts == 0


def test_a_damaged_piece_is_replaced(tiny: Encoder, tmp_path: Path):
    embed(tiny, tmp_path / "one.parquet")
    (piece,) = tmp_path.glob("store/*/*.parquet")
    flip(piece, piece.stat().st_size * 4)
    lines: list[str] = []
    assert embed(tiny, tmp_path / "two.parquet", lines=lines).reused_texts == 0
    assert lines == [f"{piece} is damaged: the vectors that it held are computed anew"]
    assert embed(tiny, tmp_path / "three.parquet").reused_texts == len(TEXTS)


def test_a_store_is_for_all_who_name_it_and_sheds_what_killed_writers_left(
    tiny: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pieces, "SECONDS_BETWEEN", 0.0)
    with pytest.raises(KeyboardInterrupt):
        embed(tiny, tmp_path / "one.parquet", TEXTS[:100], stop=80)
    several = list(tmp_path.glob("store/*/*.parquet"))
    leftover = several[0].with_name(f".{several[0].name}.{'0' * 32}")
    leftover.mkdir()
    embed(tiny, tmp_path / "two.parquet", TEXTS[150:])
    assert not leftover.exists()
    again = embed(tiny, tmp_path / "three.parquet")
    assert again.reused_texts == 80 + 50
    reused = read_vectors(tmp_path / "three.parquet").vectors
    np.testing.assert_array_equal(reused[150:], read_vectors(tmp_path / "two.parquet").vectors)


def test_float16_takes_half_the_room_and_serves_no_float32(tiny: Encoder, tmp_path: Path):
    target, half = tmp_path / "one.parquet", {"storage": "float16", "store": None}
    alone = tiny.model_copy(update={"store": None})
    embed(alone, target)
    exact, size = read_vectors(target).vectors, target.stat().st_size
    first = embed(tiny.model_copy(update=half), target)
    assert first.reused_texts == len(TEXTS)
    rounded = read_vectors(target).vectors
    np.testing.assert_array_equal(rounded, exact.astype(np.float16).astype(np.float32))
    assert target.stat().st_size < size - exact.nbytes / 2 + 1000
    assert embed(tiny.model_copy(update=half), target).fingerprint == first.fingerprint
    assert embed(alone, target).reused_texts == 0
    np.testing.assert_array_equal(read_vectors(target).vectors, exact)


def test_what_was_rounded_stays_out_of_the_store(tiny: Encoder, tmp_path: Path):
    """A store is for pipelines that want exact vectors too."""
    half = tiny.model_copy(update={"storage": "float16"})
    embed(half.model_copy(update={"store": None}), tmp_path / "half.parquet", TEXTS[:100])
    assert embed(half, tmp_path / "half.parquet").reused_texts == 100
    embed(tiny, tmp_path / "whole.parquet")
    embed(tiny.model_copy(update={"store": None}), tmp_path / "exact.parquet")
    exact, whole = (read_vectors(tmp_path / f"{name}.parquet").vectors for name in ("exact", "whole"))
    np.testing.assert_allclose(whole, exact, atol=1e-6)


def test_a_night_on_which_nothing_is_new_reads_no_store(tiny: Encoder, tmp_path: Path):
    embed(tiny, tmp_path / "one.parquet")
    for piece in tmp_path.glob("store/*/*.parquet"):
        flip(piece, 8)
    lines: list[str] = []
    assert embed(tiny, tmp_path / "one.parquet", lines=lines).reused_texts == len(TEXTS)
    assert lines == []


def test_a_store_that_cannot_be_used_stops_nothing(tiny: Encoder, tmp_path: Path):
    (tmp_path / "store").write_text("not a folder")
    lines: list[str] = []
    assert embed(tiny, tmp_path / "one.parquet", lines=lines).reused_texts == 0
    assert len(read_vectors(tmp_path / "one.parquet").vectors) == len(TEXTS)
    assert [line.split(" (")[0].split(": ")[0] for line in lines] == [
        f"{tmp_path / 'store'} cannot be read",
        f"{len(TEXTS)} vectors cannot be kept in {tmp_path / 'store'}",
    ]


def test_what_a_killed_run_left_is_removed_once_a_store_is_declared(
    tiny: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pieces, "SECONDS_BETWEEN", 0.0)
    with pytest.raises(KeyboardInterrupt):
        embed(tiny.model_copy(update={"store": None}), tmp_path / "one.parquet", stop=8)
    assert (tmp_path / ".one.parquet.unfinished").is_dir()
    embed(tiny, tmp_path / "one.parquet")
    assert not (tmp_path / ".one.parquet.unfinished").exists()
