"""Who there is and what there is to see: users and items with the traits that decide what happens.

All arrays are in order of arrival, so that whoever is there on a day is a prefix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from mtl_pipeline.simulation.clock import DAYS
from mtl_pipeline.simulation.language import TOPICS_PER_CATEGORY

LATE_USERS = 0.25
"""Share of the users who join after the first day."""
ACTIVITY_SPREAD = 1.0
POPULARITY_EXPONENT = 0.8
WORDS_OF_ITEM = 4
MOST_SECOND_WORDS = 2

Traits = dict[str, np.ndarray | pl.Series]
"""By name, [users] or [items]; columns of the raw files are written from here."""


@dataclass(frozen=True)
class Users:
    joined: np.ndarray
    """int16 [users]: day of arrival, ascending."""
    activity: np.ndarray
    """float64 [users]: how often a user comes, relative to the others."""
    taste: np.ndarray
    """float32 [users, topics]: what a user likes, of mean 0 and standard deviation about 1."""
    favourites: np.ndarray
    """int8 [users, 2]: the categories of the two topics that a user likes best."""
    age: np.ndarray
    """float64 [users]: standardised."""
    traits: Traits

    def __len__(self) -> int:
        return len(self.joined)


@dataclass(frozen=True)
class Items:
    arrived: np.ndarray
    """int16 [items]: first day on which an item is shown, ascending."""
    popularity: np.ndarray
    """float64 [items]: how often an item is shown, relative to the others of its category."""
    main_topic: np.ndarray
    """int8 [items]"""
    second_topic: np.ndarray
    """int8 [items]"""
    second_words: np.ndarray
    """int8 [items]: how many of WORDS_OF_ITEM words are of the second topic."""
    traits: Traits

    def __len__(self) -> int:
        return len(self.arrived)

    @property
    def category(self) -> np.ndarray:
        return self.main_topic // TOPICS_PER_CATEGORY

    @property
    def second_share(self) -> np.ndarray:
        """float32 [items]: weight of the second topic in what the item is about."""
        return (self.second_words / WORDS_OF_ITEM).astype(np.float32)


def draw_users(rng: np.random.Generator, count: int, topics: int, own: float) -> Users:
    """Users whose taste follows their age and gender, except for a share `own` of its variance.

    Their traits are `age` in years (16 to 90) and `gender` (F or M).
    """
    years = np.clip(np.rint(rng.gamma(9, 4.6, count)), 16, 90).astype(np.int16)
    gender = rng.integers(2, size=count, dtype=np.int8)
    age = (years - 41) / 14
    drivers = np.stack([age, (age**2 - 1) / 1.5, gender * 2 - 1], axis=1).astype(np.float32)
    effects = rng.normal(0, np.sqrt((1 - own) / drivers.shape[1]), (drivers.shape[1], topics))
    taste = rng.standard_normal((count, topics), dtype=np.float32)
    taste *= np.float32(np.sqrt(own))
    taste += drivers @ effects.astype(np.float32)
    best_two = np.argpartition(-taste, 2, axis=1)[:, :2]
    return Users(
        joined=draw_arrivals(count, LATE_USERS),
        activity=rng.lognormal(0, ACTIVITY_SPREAD, count),
        taste=taste,
        favourites=(best_two // TOPICS_PER_CATEGORY).astype(np.int8),
        age=age,
        traits={"age": years, "gender": pl.Series(["F", "M"]).gather(gender)},
    )


def draw_items(rng: np.random.Generator, count: int, topics: int, arrived: np.ndarray) -> Items:
    main = rng.integers(topics, size=count, dtype=np.int8)
    step = rng.integers(1, topics, size=count, dtype=np.int8)
    return Items(
        arrived=arrived,
        popularity=(1.0 + rng.permutation(count)) ** -POPULARITY_EXPONENT,
        main_topic=main,
        second_topic=((main + step) % topics).astype(np.int8),
        second_words=rng.integers(MOST_SECOND_WORDS + 1, size=count, dtype=np.int8),
        traits={},
    )


def draw_arrivals(count: int, late: float) -> np.ndarray:
    """Days of arrival, ascending: all on the first day, but for a share `late` spread evenly over the later days."""
    at_start = count - round(count * late)
    later = 1 + np.arange(count - at_start) * (DAYS - 1) // max(count - at_start, 1)
    return np.concatenate([np.zeros(at_start), later]).astype(np.int16)
