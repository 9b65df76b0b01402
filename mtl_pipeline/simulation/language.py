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


@dataclass(frozen=True)
class Vocabulary:
    """The words of a scenario, from `vocabulary/<scenario>.yaml`."""

    categories: list[str]
    topics: list[str]
    """Topic t belongs to category t // TOPICS_PER_CATEGORY."""
    lists: dict
    """The file's lists by name, and `words`: a list of words for each topic."""

    def draw(self, rng: np.random.Generator, name: str, count: int) -> pl.Series:
        """Random phrases of a list."""
        phrases = self.lists[name]
        return pl.Series(phrases).gather(rng.integers(len(phrases), size=count))

    def draw_from_each(self, rng: np.random.Generator, name: str, which: np.ndarray) -> pl.Series:
        """A random phrase from each of the lists number `which`, of lists of the same length."""
        lists = self.lists[name]
        phrases = pl.Series([phrase for phrases in lists for phrase in phrases])
        return phrases.gather(
            which.astype(np.int64) * len(lists[0]) + rng.integers(len(lists[0]), size=len(which))
        )


@cache
def load_vocabulary(scenario: str) -> Vocabulary:
    lists = yaml.safe_load((FOLDER / f"{scenario}.yaml").read_text(encoding="utf-8"))
    categories = lists.pop("topics")
    words = {topic: words for topics in categories.values() for topic, words in topics.items()}
    return Vocabulary(list(categories), list(words), {"words": list(words.values()), **lists})


def levels_of(values: np.ndarray) -> np.ndarray:
    """The four levels that phrases come in, of values that are standard normal: int8 [values]."""
    return np.digitize(values.astype(np.float32), [-0.8, 0.1, 1.0]).astype(np.int8)
