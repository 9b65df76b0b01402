"""What a scenario is: its people and items, what they do, and what its raw files look like."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from mtl_pipeline.simulation.clock import DAYS
from mtl_pipeline.simulation.exposure import Shown
from mtl_pipeline.simulation.history import History
from mtl_pipeline.simulation.language import load_vocabulary
from mtl_pipeline.simulation.planting import Defect
from mtl_pipeline.simulation.population import draw_arrivals, draw_items, draw_users

NOT_OBSERVED = -1

POSITION_EFFECT = -0.45 * np.log(np.arange(1, 14, dtype=np.float32))
DEVICE_EFFECT = np.array([0.0, -0.15, 0.15], dtype=np.float32)
HOUR_EFFECT = (0.25 * np.cos((np.arange(24) - 20) / 12 * np.pi)).astype(np.float32)
CIRCUMSTANCES_EFFECT = (POSITION_EFFECT[:, None, None] + (DEVICE_EFFECT[:, None] + HOUR_EFFECT)).ravel()
"""On the logit of a click, by position, device and hour."""

Columns = dict[str, np.ndarray]
"""By name, each [rows]."""
Arrays = tuple[np.ndarray, ...]
"""Each [rows]."""


@dataclass(frozen=True)
class Outcomes:
    """What happened on some rows, and how likely it was."""

    context: Columns
    """By column of `context_columns`."""
    labels: Columns
    """By task: int8, NOT_OBSERVED where nothing is known."""
    truth: Columns
    """By task: float32, the probability (binary) or expected value (regression), given that the task before it
    happened."""


class Scenario(ABC):
    """One world, drawn once, then asked about single users, items and impressions (int64 indices, [rows]).

    What is drawn for these comes from the generator that is passed in, never from the world's own.
    """

    name: ClassVar[str]
    tasks: ClassVar[tuple[str, str, str]]
    """The click, the conversion that makes a user loyal, and a third one."""
    columns: ClassVar[dict[str, tuple[str, ...]]]
    """Of users.csv and items.csv, the id first."""
    context_columns: ClassVar[tuple[str, ...]] = ()
    """Columns of interactions.csv besides position and device."""
    missing: ClassVar[dict[str, float]]
    """Share of blank values, by column."""
    defects: ClassVar[dict[str, list[Defect]]]
    """By file: the ways in which rows are spoilt, each as the cleaning must name it."""
    own_taste: ClassVar[float]
    """Share of the variance of users' tastes that age and gender do not explain."""
    late_items: ClassVar[float] = 0.35
    """Share of the items that arrive after the first day."""
    lifetime: ClassVar[int] = DAYS
    """Days that an item is shown."""

    tone: np.ndarray
    """int8 [items], 0 to 3: the level of the phrases that an item's text takes from the list `tone`."""
    baits: np.ndarray
    """bool [items]: whether an item's text teases."""

    def __init__(self, rng: np.random.Generator, users: int, items: int) -> None:
        self.vocabulary = load_vocabulary(self.name)
        topics = len(self.vocabulary.topics)
        self.users = draw_users(rng, users, topics, self.own_taste)
        self.draw_user_traits(rng, users)
        self.items = draw_items(rng, items, topics, self.arrivals(items))
        self.draw_item_traits(rng, items)
        self.main_share = 1 - self.items.second_share

    def arrivals(self, items: int) -> np.ndarray:
        """int16 [items], ascending: the day on which each item is first shown."""
        return draw_arrivals(items, self.late_items)

    @abstractmethod
    def draw_user_traits(self, rng: np.random.Generator, count: int) -> None:
        """Draw what `logits` needs to know of users, and fill `self.users.traits`."""

    @abstractmethod
    def draw_item_traits(self, rng: np.random.Generator, count: int) -> None:
        """Draw `tone`, `baits` and what else `logits` needs to know of items, and fill `self.items.traits`."""

    def user_texts(self, rng: np.random.Generator, index: np.ndarray) -> pl.DataFrame:
        """The columns of users.csv that are not among their traits."""
        return pl.DataFrame()

    @abstractmethod
    def item_texts(self, rng: np.random.Generator, index: np.ndarray) -> pl.DataFrame:
        """The columns of items.csv that are not among their traits."""

    def context(self, shown: Shown) -> Columns:
        """The values of `context_columns`."""
        return {}

    @abstractmethod
    def logits(self, shown: Shown, history: History, context: Columns) -> Arrays:
        """What each task's outcome follows from, float32; position, device and hour are added to that of clicks."""

    @abstractmethod
    def third(self, rng: np.random.Generator, shown: Shown, logit: np.ndarray, happened: Arrays) -> Arrays:
        """Labels and truth of the third task, as in `Outcomes`; `happened` are the first two, as bool."""

    @property
    def headers(self) -> dict[str, tuple[str, ...]]:
        """The columns of each raw file."""
        shown = ("user_id", self.columns["items.csv"][0], "timestamp", "position", "device")
        return {**self.columns, "interactions.csv": (*shown, *self.context_columns, *self.tasks)}

    def rows(self, file: str, rng: np.random.Generator, index: np.ndarray) -> pl.DataFrame:
        """Rows of users.csv or items.csv."""
        users = file == "users.csv"
        traits = (self.users if users else self.items).traits
        texts = (self.user_texts if users else self.item_texts)(rng, index)
        key, *columns = self.columns[file]
        rows = pl.DataFrame(
            {
                key: index + 1,
                **{name: traits[name][index] if name in traits else texts[name] for name in columns},
            }
        )
        return rows.with_columns(
            pl.when(pl.Series(rng.random(len(index)) >= self.missing[name])).then(name)
            for name in columns
            if name in self.missing
        )

    def outcomes(self, rng: np.random.Generator, shown: Shown, history: History) -> Outcomes:
        """What the users do with what they are shown."""
        context = self.context(shown)
        click, conversion, third = self.logits(shown, history, context)
        circumstances = ((shown.position - np.int16(1)) * 3 + shown.device) * 24 + shown.hour
        click, conversion = sigmoid(click + CIRCUMSTANCES_EFFECT[circumstances]), sigmoid(conversion)
        clicked = happens(rng, click)
        converted = clicked & happens(rng, conversion)
        label, truth = self.third(rng, shown, third, (clicked, converted))
        labels = (clicked.astype(np.int8), observed_where(clicked, converted), label)
        return Outcomes(
            context,
            labels=dict(zip(self.tasks, labels, strict=True)),
            truth=dict(zip(self.tasks, (click, conversion, truth), strict=True)),
        )

    def affinity(self, shown: Shown) -> np.ndarray:
        """float32 [rows]: how much the user likes what the item is about."""
        topics = self.users.taste.shape[1]
        taste, user = self.users.taste.ravel(), shown.user * topics
        share = self.main_share[shown.item]
        main = taste[user + self.items.main_topic[shown.item]]
        second = taste[user + self.items.second_topic[shown.item]]
        return share * main + (1 - share) * second

    def item_words(self, rng: np.random.Generator, index: np.ndarray) -> pl.DataFrame:
        """`opening`, `first` to `fourth` word, of which the item's second topic has its share, and `tone`."""
        words = self.vocabulary
        main, second = self.items.main_topic[index], self.items.second_topic[index]
        topics = {
            place: np.where(self.items.second_words[index] >= wanted, second, main)
            for place, wanted in (("first", 4), ("second", 3), ("third", 2), ("fourth", 1))
        }
        return pl.DataFrame(
            {
                "opening": words.draw(rng, "openings", len(index)),
                **{place: words.draw_from_each(rng, "words", topic) for place, topic in topics.items()},
                "tone": words.draw_from_each(rng, "tone", self.tone[index]),
            }
        )

    def bait(self, rng: np.random.Generator, index: np.ndarray, form: str) -> pl.Series:
        """A teasing phrase in this form for items that bait, and nothing for the others."""
        teasing = pl.format(form, self.vocabulary.draw(rng, "bait", len(index)))
        return pl.select(
            pl.when(pl.Series(self.baits[index])).then(teasing).otherwise(pl.lit(""))
        ).to_series()


def sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


def happens(rng: np.random.Generator, probability: np.ndarray) -> np.ndarray:
    """bool [rows]"""
    return rng.random(len(probability), dtype=np.float32) < probability


def observed_where(condition: np.ndarray, label: np.ndarray) -> np.ndarray:
    """int8 [rows]: the label, NOT_OBSERVED elsewhere."""
    return np.where(condition, label.astype(np.int8), np.int8(NOT_OBSERVED))
