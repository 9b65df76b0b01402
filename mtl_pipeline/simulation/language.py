"""Texts that say what an item is about: words by topic, in numbers that follow its mixture of topics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import yaml

FOLDER = Path(__file__).parent / "vocabulary"
TOPICS_PER_CATEGORY = 2
WORDS_PER_TOPIC = 10


@dataclass(frozen=True)
class Vocabulary:
    """The words of a scenario, from `vocabulary/<scenario>.yaml`."""

    categories: list[str]
    topics: list[str]
    """Topic t belongs to category t // TOPICS_PER_CATEGORY."""
    words: pl.Series
    """Words of topic t from place t * WORDS_PER_TOPIC on."""
    other: dict
    """The other lists of the file."""

    def draw_words(self, rng: np.random.Generator, topics: np.ndarray) -> pl.Series:
        """A random word of each topic."""
        return self.words.gather(
            topics.astype(np.int64) * WORDS_PER_TOPIC + rng.integers(WORDS_PER_TOPIC, size=len(topics))
        )

    def draw_phrases(self, rng: np.random.Generator, name: str, count: int) -> pl.Series:
        """Random phrases of one list."""
        phrases = pl.Series(self.other[name])
        return phrases.gather(rng.integers(len(phrases), size=count))

    def draw_levels(self, rng: np.random.Generator, name: str, levels: np.ndarray) -> pl.Series:
        """A random phrase of each level of a list of lists of phrases."""
        lists = self.other[name]
        phrases = pl.Series([phrase for phrases in lists for phrase in phrases])
        return phrases.gather(
            levels.astype(np.int64) * len(lists[0]) + rng.integers(len(lists[0]), size=len(levels))
        )


@cache
def load_vocabulary(scenario: str) -> Vocabulary:
    content = yaml.safe_load((FOLDER / f"{scenario}.yaml").read_text(encoding="utf-8"))
    topics = content.pop("topics")
    return Vocabulary(
        categories=list(topics),
        topics=[topic for category in topics.values() for topic in category],
        words=pl.Series(
            [word for category in topics.values() for words in category.values() for word in words]
        ),
        other=content,
    )


def levels_of(values: np.ndarray) -> np.ndarray:
    """The four levels that phrases come in, of values that are standard normal: int8 [values]."""
    return np.digitize(values, [-0.8, 0.1, 1.0]).astype(np.int8)


def blank_some(rng: np.random.Generator, texts: pl.Series, share: float) -> pl.Series:
    """The texts, a share of them missing."""
    blank = rng.random(len(texts)) < share
    return pl.select(pl.when(pl.Series(~blank)).then(texts)).to_series()
