"""What a scenario is: its people and items, what they do, and what its raw files look like."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from mtl_pipeline.simulation.exposure import Shown
from mtl_pipeline.simulation.history import History
from mtl_pipeline.simulation.language import Vocabulary, load_vocabulary
from mtl_pipeline.simulation.planting import Defect
from mtl_pipeline.simulation.population import Items, Users

DEVICES = ["phone", "desktop", "tablet"]
NOT_OBSERVED = -1

# On the logit of a click:
POSITION_EFFECT = -0.45 * np.log(np.arange(1, 14, dtype=np.float32))
DEVICE_EFFECT = np.array([0.0, -0.15, 0.15], dtype=np.float32)
HOUR_EFFECT = (0.25 * np.cos((np.arange(24) - 20) / 12 * np.pi)).astype(np.float32)


@dataclass(frozen=True)
class Outcomes:
    """What happened on some rows, and how likely it was."""

    labels: dict[str, np.ndarray]
    """By task: int8 [rows], NOT_OBSERVED where nothing is known."""
    truth: dict[str, np.ndarray]
    """By task: float32 [rows], the probability (binary) or the expected value (regression), given that
    the task before it happened."""
    converted: np.ndarray
    """bool [rows]: outcomes that make a user loyal."""


class Scenario(ABC):
    """One world, drawn once, then asked about single users, items and impressions.

    What is drawn for these comes from the generator that is passed in, never from the world's own.
    """

    name: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]]
    item_column: ClassVar[str]
    """The raw files' name of an item's id."""
    lifetime: ClassVar[int | None] = None
    """Days that an item is shown; None: for ever."""
    context_columns: ClassVar[tuple[str, ...]] = ()
    """Columns of interactions.csv besides position and device."""
    users: Users
    items: Items

    def __init__(self) -> None:
        self.vocabulary: Vocabulary = load_vocabulary(self.name)

    @property
    def interaction_columns(self) -> list[str]:
        return [
            "user_id", self.item_column, "timestamp", "position", "device", *self.context_columns, *self.tasks
        ]  # fmt: skip

    @abstractmethod
    def populate(self, rng: np.random.Generator, users: int, items: int) -> None:
        """Draw `self.users` and `self.items`."""

    @abstractmethod
    def user_rows(self, rng: np.random.Generator, first: int, last: int) -> pl.DataFrame:
        """Rows of users.csv for the users from `first` to before `last`."""

    @abstractmethod
    def item_rows(self, rng: np.random.Generator, first: int, last: int) -> pl.DataFrame:
        """Rows of items.csv for the items from `first` to before `last`."""

    @abstractmethod
    def outcomes(self, rng: np.random.Generator, shown: Shown, history: History) -> Outcomes:
        """What the users do with what they are shown."""

    @abstractmethod
    def defects(self) -> dict[str, list[Defect]]:
        """By file: the ways in which rows are spoilt, each as the cleaning must name it."""

    def context(self, shown: Shown) -> dict[str, np.ndarray]:
        """The values of `context_columns` [rows]."""
        return {}

    def prepare(self) -> None:
        """Bring what `outcomes` looks up by item or user into the shape it needs."""
        self.category = self.items.category
        self.main_share = 1 - self.items.second_share

    def topic_words(self, rng: np.random.Generator, first: int, last: int) -> dict[str, pl.Series]:
        """Four words of each item, `first` to `fourth`, of which its second topic has its share."""
        main, second = self.items.main_topic[first:last], self.items.second_topic[first:last]
        second_words = self.items.second_words[first:last]
        return {
            place: self.vocabulary.draw_words(rng, np.where(second_words >= wanted, second, main))
            for place, wanted in zip(("first", "second", "third", "fourth"), (4, 3, 2, 1), strict=True)
        }

    def affinity(self, shown: Shown) -> np.ndarray:
        """float32 [rows]: how much the user likes what the item is about."""
        topics = self.users.taste.shape[1]
        taste, user = self.users.taste.ravel(), shown.user * topics
        share = self.main_share[shown.item]
        main = taste[user + self.items.main_topic[shown.item]]
        second = taste[user + self.items.second_topic[shown.item]]
        return share * main + (1 - share) * second

    def click_circumstances(self, shown: Shown) -> np.ndarray:
        """float32 [rows]: what position, device and hour add to the logit of a click."""
        return POSITION_EFFECT[shown.position - 1] + self.device_and_hour(shown)

    def device_and_hour(self, shown: Shown) -> np.ndarray:
        return (DEVICE_EFFECT[:, None] + HOUR_EFFECT).ravel()[shown.device * np.int8(24) + shown.times.hour]


def sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


def happens(rng: np.random.Generator, probability: np.ndarray) -> np.ndarray:
    """bool [rows]"""
    return rng.random(len(probability), dtype=np.float32) < probability


def observed_where(condition: np.ndarray, label: np.ndarray) -> np.ndarray:
    """int8 [rows]: the label, NOT_OBSERVED elsewhere."""
    return np.where(condition, label.astype(np.int8), np.int8(NOT_OBSERVED))
