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
MOST_WINDOWS = 64
"""Of a text; what follows them is cut. They are read at once, which bounds memory."""


@dataclass(frozen=True)
class TokenizedTexts:
    """Memory: 4 bytes a token and 16 a text. A text is one window, or several where long texts are not cut."""

    token_ids: np.ndarray
    """int32 [tokens]: all windows, one after the other."""
    starts: np.ndarray
    """int64 [windows + 1]: where each window starts in `token_ids`."""
    windows: np.ndarray
    """int64 [texts + 1]: where each text's windows start in `starts`."""
    pad_id: int

    @property
    def lengths(self) -> np.ndarray:
        """int64 [texts]: tokens, those in the overlap of windows twice."""
        return np.diff(self.starts[self.windows])

    def batches(self, batch_size: int, tokens_at_once: int = 0) -> Iterator[np.ndarray]:
        """Row numbers of texts of together at most `batch_size` windows, or more, as long as these have no more than
        `tokens_at_once` tokens with their padding; or of one text. Longest texts first, those without a token left
        out."""
        longest_first = np.argsort(-self.lengths, kind="stable")
        rows = longest_first[: np.count_nonzero(self.lengths)]
        counted = np.cumsum(np.diff(self.windows)[rows])
        longest = np.diff(self.starts)[self.windows[:-1]]  # the first window of each text
        start = 0
        while start < len(rows):
            before = counted[start - 1] if start else 0
            size = max(batch_size, tokens_at_once // longest[rows[start]])
            end = max(start + 1, int(np.searchsorted(counted, before + size, side="right")))
            yield rows[start:end]
            start = end

    def windows_of(self, rows: np.ndarray) -> np.ndarray:
        return np.concatenate([np.arange(self.windows[row], self.windows[row + 1]) for row in rows])

    def padded(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Token ids (int64) and mask (bool) of the windows of `rows`, both [windows, longest], padded on the right.

        On the right whatever the tokenizer's habit: absolute positions then start at the first token, and
        a causal model never looks at padding.
        """
        windows = self.windows_of(rows)
        lengths = np.diff(self.starts)[windows]
        mask = np.arange(lengths.max()) < lengths[:, None]
        padded = np.full(mask.shape, self.pad_id, dtype=np.int64)
        ids = [self.token_ids[self.starts[window] : self.starts[window + 1]] for window in windows]
        padded[mask] = np.concatenate(ids)
        return padded, mask

    def pooled(self, rows: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From vectors of the windows of `rows`, float32 [windows, dimension], to those of the texts, float32 [rows,
        dimension], behind `rows`: their mean, each window as heavy as it has tokens."""
        counts = np.diff(self.windows)[rows]
        if (counts == 1).all():
            return rows, vectors
        tokens = np.diff(self.starts)[self.windows_of(rows)].astype(np.float32)
        firsts = np.cumsum(counts) - counts
        sums = np.add.reduceat(vectors * tokens[:, None], firsts, axis=0)
        return rows, sums / np.add.reduceat(tokens, firsts)[:, None]


@dataclass(frozen=True)
class Tokenizer:
    """An encoder's tokenizer, and how it is used."""

    read: Callable[[list[str]], list[list[list[int]]]]
    """By text, the token ids of its windows, special tokens included: one, or several where long texts are not cut. The
    first is behind the encoder's `prompt`."""
    pad_id: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, settings: Settings) -> Tokenizer:
        def read(texts: list[str]) -> list[list[list[int]]]:
            found = tokenizer(
                [settings.prompt + text for text in texts],
                truncation=True,
                max_length=settings.max_tokens,
                stride=overlap(settings),
                return_overflowing_tokens=settings.long_texts == "windows",
                padding=False,
                return_attention_mask=False,
                return_token_type_ids=False,
            )
            windows: list[list[list[int]]] = [[] for _ in texts]
            owners = found.get("overflow_to_sample_mapping", range(len(texts)))
            for text, token_ids in zip(owners, found["input_ids"], strict=True):
                windows[text].append(token_ids)
            return [several[:MOST_WINDOWS] for several in windows]

        # Models of the GPT kind have no padding token; any will do under the mask, by custom the end of the text.
        pads = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
        return cls(read, next(pad for pad in pads if pad is not None))

    @classmethod
    def from_file(cls, file: Path, settings: Settings, pad_id: int) -> Tokenizer:
        """From a tokenizer.json: without transformers, whose import takes seconds."""
        tokenizer = tokenizers.Tokenizer.from_file(str(file))
        tokenizer.no_padding()
        direction = (tokenizer.truncation or {}).get("direction", "right")
        tokenizer.enable_truncation(settings.max_tokens, stride=overlap(settings), direction=direction)

        def read(texts: list[str]) -> list[list[list[int]]]:
            found = tokenizer.encode_batch_fast([settings.prompt + text for text in texts])
            further = MOST_WINDOWS - 1 if settings.long_texts == "windows" else 0
            return [[one.ids, *(window.ids for window in one.overflowing[:further])] for one in found]

        return cls(read, pad_id)

    def prepare(self, texts: pa.Array) -> TokenizedTexts:
        return tokenize(self, texts)


def overlap(settings: Settings) -> int:
    return settings.max_tokens // 8 if settings.long_texts == "windows" else 0


def tokenize(tokenizer: Tokenizer, texts: pa.Array) -> TokenizedTexts:
    """Tokenize `texts` (strings [n])."""
    parts: list[np.ndarray] = [np.empty(0, dtype=np.int32)]
    lengths: list[int] = []
    counts: list[int] = []
    together = min(TEXTS_PER_CALL, 1 + BYTES_PER_CALL * len(texts) // max(texts.nbytes, 1))
    for start in range(0, len(texts), together):
        read = tokenizer.read(texts.slice(start, together).to_pylist())
        counts.extend(map(len, read))
        windows = [window for several in read for window in several]
        lengths.extend(map(len, windows))
        parts.extend(np.asarray(ids, dtype=np.int32) for ids in windows)
    starts, places = (
        np.concatenate([[0], np.cumsum(of, dtype=np.int64)]).astype(np.int64) for of in (lengths, counts)
    )
    return TokenizedTexts(np.concatenate(parts), starts, places, tokenizer.pad_id)
