"""Texts as token ids: a chunk of texts at once, kept flat, handed out in batches of similar length.

A batch costs its longest text times its size, so texts sorted by length waste almost nothing on padding.
The longest batch comes first: if memory is too small, it fails at once, not after an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import tokenizers

from mtl_pipeline.embedding.source import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEXTS_PER_CALL = 4096
"""Enough to keep the tokenizer's threads busy; its Python lists live no longer than one call."""
BYTES_PER_CALL = 1 << 21
"""Of long texts fewer: the tokenizer reads all of each before it cuts, and takes some hundred bytes a token."""


@dataclass(frozen=True)
class TokenizedTexts:
    """Memory: 4 bytes a token and 8 a text, so at most 4 · max_tokens + 8 bytes for each text of a chunk."""

    token_ids: np.ndarray
    """int32 [tokens]: all texts, one after the other."""
    starts: np.ndarray
    """int64 [texts + 1]: where each text starts in `token_ids`."""
    pad_id: int

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)

    def batches(self, batch_size: int) -> Iterator[np.ndarray]:
        """Row numbers [≤ batch_size], longest texts first. Texts without a token are left out."""
        longest_first = np.argsort(-self.lengths, kind="stable")
        rows = longest_first[: np.count_nonzero(self.lengths)]
        for start in range(0, len(rows), batch_size):
            yield rows[start : start + batch_size]

    def padded(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Token ids (int64) and mask (bool), both [rows, longest], padded on the right.

        On the right whatever the tokenizer's habit: absolute positions then start at the first token, and
        a causal model never looks at padding.
        """
        lengths = self.lengths[rows]
        mask = np.arange(lengths.max()) < lengths[:, None]
        padded = np.full(mask.shape, self.pad_id, dtype=np.int64)
        texts = [self.token_ids[self.starts[row] : self.starts[row + 1]] for row in rows]
        padded[mask] = np.concatenate(texts)
        return padded, mask


@dataclass(frozen=True)
class Tokenizer:
    """An encoder's tokenizer, and how it is used."""

    read: Callable[[list[str]], list[list[int]]]
    """Token ids of texts, each behind the encoder's `prompt` and cut to its `max_tokens`, special tokens included."""
    pad_id: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, settings: Settings) -> Tokenizer:
        def read(texts: list[str]) -> list[list[int]]:
            return tokenizer(
                [settings.prompt + text for text in texts],
                truncation=True,
                max_length=settings.max_tokens,
                padding=False,
                return_attention_mask=False,
                return_token_type_ids=False,
            )["input_ids"]

        # Models of the GPT kind have no padding token; any will do under the mask, by custom the end of the text.
        pads = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
        return cls(read, next(pad for pad in pads if pad is not None))

    @classmethod
    def from_file(cls, file: Path, settings: Settings, pad_id: int) -> Tokenizer:
        """From a tokenizer.json: without transformers, whose import takes seconds."""
        tokenizer = tokenizers.Tokenizer.from_file(str(file))
        tokenizer.no_padding()
        direction = (tokenizer.truncation or {}).get("direction", "right")
        tokenizer.enable_truncation(settings.max_tokens, direction=direction)

        def read(texts: list[str]) -> list[list[int]]:
            return [
                found.ids for found in tokenizer.encode_batch_fast([settings.prompt + text for text in texts])
            ]

        return cls(read, pad_id)


def tokenize(tokenizer: Tokenizer, texts: pa.Array) -> TokenizedTexts:
    """Tokenize `texts` (strings [n])."""
    parts: list[np.ndarray] = [np.empty(0, dtype=np.int32)]
    lengths: list[int] = []
    together = min(TEXTS_PER_CALL, 1 + BYTES_PER_CALL * len(texts) // max(texts.nbytes, 1))
    for start in range(0, len(texts), together):
        encoded = tokenizer.read(texts.slice(start, together).to_pylist())
        lengths.extend(map(len, encoded))
        parts.extend(np.asarray(ids, dtype=np.int32) for ids in encoded)
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return TokenizedTexts(np.concatenate(parts), starts.astype(np.int64), tokenizer.pad_id)
