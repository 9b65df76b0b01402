"""`news`: click, then share and comment.

Every day has articles of its own, shown on that day and the next, so that no article of the test
split was ever seen in training: only its text, section and length tell what it is. A sensational
headline draws clicks and is rarely shared; useful articles are shared; divisive ones are commented on.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl

from mtl_pipeline.simulation.clock import DAY_MS, DAYS, HOUR_MS, START_MS
from mtl_pipeline.simulation.exposure import Shown
from mtl_pipeline.simulation.history import History
from mtl_pipeline.simulation.language import levels_of
from mtl_pipeline.simulation.planting import interaction_defects, value_defect
from mtl_pipeline.simulation.scenario import Arrays, Columns, Scenario, happens, observed_where, sigmoid

BAIT_SHARE = 0.25
REGIONS = ["coast", "highlands", "capital", "islands", "north", "south"]
SUBSCRIBERS = 0.3
EVENING_BEFORE_HOURS = 6
"""The articles of a day are published within so many hours before it starts."""


class News(Scenario):
    name = "news"
    tasks = ("click", "share", "comment")
    columns: ClassVar = {
        "users.csv": ("user_id", "age", "region", "subscriber", "interests"),
        "items.csv": ("article_id", "headline", "summary", "section", "minutes", "published"),
    }
    context_columns = ("age_hours",)
    missing: ClassVar = {"age": 0.05, "interests": 0.3, "headline": 0.01, "summary": 0.05}
    own_taste = 0.45
    lifetime = 2
    defects: ClassVar = {
        "users.csv": [
            value_defect("user_id", "guest", "not a whole number"),
            value_defect("age", "old", "not a whole number"),
            value_defect("age", "0", "outside 1 to 120"),
            value_defect("region", "", "missing"),
            value_defect("subscriber", "maybe", "neither 0 nor 1"),
        ],
        "items.csv": [
            value_defect("article_id", "draft", "not a whole number"),
            value_defect("section", "", "missing"),
            value_defect("minutes", "0", "below 1"),
            value_defect("minutes", "long", "not a whole number"),
            value_defect("published", "soon", "not a whole number"),
            value_defect("published", "17", "outside 2000 to 2100"),
        ],
        "interactions.csv": [
            *interaction_defects("article_id"),
            value_defect("age_hours", "-3", "below 0"),
            value_defect("share", "1", "without a click", click="0", comment=""),
            value_defect("share", "maybe", "neither 0 nor 1", click="1"),
            value_defect("comment", "1", "without a click", click="0", share=""),
            value_defect("comment", "3", "neither 0 nor 1", click="1", share="0"),
        ],
    }

    def arrivals(self, items: int) -> np.ndarray:
        return (np.arange(items) * DAYS // items).astype(np.int16)

    def draw_user_traits(self, rng: np.random.Generator, count: int) -> None:
        region = rng.integers(len(REGIONS), size=count, dtype=np.int8)
        self.subscriber = (rng.random(count) < SUBSCRIBERS).astype(np.float32)
        sections, favourites = pl.Series(self.vocabulary.categories), np.sort(self.users.favourites, axis=1).T
        first, second = (sections.gather(favourite) for favourite in favourites)
        interests = pl.when(first == second).then(first).otherwise(pl.format("{}|{}", first, second))
        self.users.traits.update(
            region=pl.Series(REGIONS).gather(region),
            subscriber=self.subscriber.astype(np.int8),
            interests=pl.select(interests).to_series(),
        )

    def draw_item_traits(self, rng: np.random.Generator, count: int) -> None:
        before = (rng.random(count) * EVENING_BEFORE_HOURS * HOUR_MS).astype(np.int64)
        minutes = np.clip(np.rint(rng.gamma(4, 1.2, count)), 1, 30).astype(np.int16)
        self.tone = levels_of(rng.normal(size=count))
        self.baits = rng.random(count) < BAIT_SHARE
        appeal = rng.normal(0, 0.25, count).astype(np.float32)
        self.published = START_MS + self.items.arrived.astype(np.int64) * DAY_MS - before
        self.items.traits.update(
            section=pl.Series(self.vocabulary.categories).gather(self.items.category),
            minutes=minutes,
            published=self.published,
        )
        heat, bait = self.tone - np.float32(1.5), self.baits.astype(np.float32)
        length = (minutes.astype(np.float32) - 5) / 3
        self.click_pull = 0.9 * bait + 0.2 * heat - 0.2 * length + appeal
        self.share_pull = -0.6 * heat - 1.1 * bait + 0.2 * length
        self.comment_pull = 0.9 * heat + 0.2 * bait

    def item_texts(self, rng: np.random.Generator, index: np.ndarray) -> pl.DataFrame:
        bait = self.bait(rng, index, "{}! ")
        return self.item_words(rng, index).select(
            headline=pl.format("{}{} {}", bait, "opening", "first"),
            summary=pl.format("{}, {} and {}: {}.", "second", "third", "fourth", "tone"),
        )

    def context(self, shown: Shown) -> Columns:
        """Full hours since the article was published."""
        age = (shown.milliseconds - self.published[shown.item]) // HOUR_MS
        return {"age_hours": age.astype(np.int16)}

    def logits(self, shown: Shown, history: History, context: Columns) -> Arrays:
        item, affinity = shown.item, self.affinity(shown)
        habit, loyalty, trend = history.so_far(shown)
        age = context["age_hours"].astype(np.float32)
        click = -2.35 + 1.1 * affinity + self.click_pull[item] + 0.7 * habit + 0.25 * trend - 0.015 * age
        share = -2.3 + 0.6 * affinity + self.share_pull[item] + 1.2 * loyalty
        comment = -2.4 + 0.3 * affinity + self.comment_pull[item] + 1.1 * self.subscriber[shown.user]
        return click, share, comment

    def third(self, rng: np.random.Generator, shown: Shown, logit: np.ndarray, happened: Arrays) -> Arrays:
        clicked, _ = happened
        comment = sigmoid(logit)
        # Comments close at night, so nothing is known of them then.
        known = clicked & (shown.hour >= 6)
        return observed_where(known, happens(rng, comment)), comment
