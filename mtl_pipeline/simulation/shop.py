"""`shop`: click → purchase → rating.

Bait in the title and a low price attract clicks; good make, a price that fits the purse and earlier
purchases lead to a purchase; bait makes for bad ratings. So click pulls against purchase and rating.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl

from mtl_pipeline.simulation.exposure import Shown
from mtl_pipeline.simulation.history import History
from mtl_pipeline.simulation.language import levels_of
from mtl_pipeline.simulation.planting import interaction_defects, value_defect
from mtl_pipeline.simulation.scenario import NOT_OBSERVED, Arrays, Columns, Scenario, happens, sigmoid

BAIT_SHARE = 0.25
RATING_SPREAD = 0.5
RATED_ON_DEVICE = np.array([0.65, 0.85, 0.75], dtype=np.float32)
"""Share of the purchases that are rated, by device."""
STARS = np.array([1.5, 2.5, 3.5, 4.5], dtype=np.float32)
"""Where an opinion turns into one star more."""


class Shop(Scenario):
    name = "shop"
    tasks = ("click", "purchase", "rating")
    columns: ClassVar = {
        "users.csv": ("user_id", "age", "gender"),
        "items.csv": ("product_id", "title", "description", "category", "brand", "price"),
    }
    missing: ClassVar = {"age": 0.04, "gender": 0.03, "title": 0.01, "description": 0.04}
    own_taste = 0.35
    defects: ClassVar = {
        "users.csv": [
            value_defect("user_id", "guest", "not a whole number"),
            value_defect("user_id", "", "missing"),
            value_defect("age", "unknown", "not a whole number"),
            value_defect("age", "211", "outside 1 to 120"),
            value_defect("gender", "?", "neither F nor M"),
        ],
        "items.csv": [
            value_defect("product_id", "n/a", "not a whole number"),
            value_defect("category", "", "missing"),
            value_defect("price", "", "missing"),
            value_defect("price", "on request", "not a number"),
            value_defect("price", "-9.99", "below 0.01"),
        ],
        "interactions.csv": [
            *interaction_defects("product_id"),
            value_defect("purchase", "1", "without a click", click="0", rating=""),
            value_defect("rating", "9", "outside 1 to 5", click="1", purchase="1"),
            value_defect("rating", "3.5", "not a whole number", click="1", purchase="1"),
            value_defect("rating", "4", "without a purchase", click="1", purchase="0"),
        ],
    }

    def draw_user_traits(self, rng: np.random.Generator, count: int) -> None:
        # The young and some others look at the price more.
        thrift = np.exp(-0.3 * self.users.age + rng.normal(0, 0.4, count))
        self.thrift = thrift.clip(0, 3).astype(np.float32)

    def draw_item_traits(self, rng: np.random.Generator, count: int) -> None:
        brands = self.vocabulary.lists["brands"]
        brand = rng.integers(len(brands), size=count)
        brand_quality = rng.permutation(np.linspace(-1.6, 1.6, len(brands)))
        dearness = rng.normal(size=count)
        self.tone = levels_of(0.5 * brand_quality[brand] + 0.4 * dearness + 0.77 * rng.normal(size=count))
        self.baits = rng.random(count) < BAIT_SHARE
        appeal = rng.normal(0, 0.25, count).astype(np.float32)
        self.dearness = dearness.astype(np.float32)
        typical_price = np.array(self.vocabulary.lists["typical_price"])[self.items.main_topic]
        self.items.traits.update(
            category=pl.Series(self.vocabulary.categories).gather(self.items.category),
            brand=pl.Series(brands).gather(brand),
            price=np.round(typical_price * np.exp(0.5 * self.dearness.astype(np.float64)), 2),
        )
        quality, bait = self.tone - np.float32(1.5), self.baits.astype(np.float32)
        self.click_pull = 1.1 * bait + appeal - 0.1 * quality
        self.purchase_pull = 0.75 * quality - 1.0 * bait
        self.opinion = 3.6 + 0.5 * quality - 0.9 * bait - 0.15 * self.dearness

    def item_texts(self, rng: np.random.Generator, index: np.ndarray) -> pl.DataFrame:
        bait = self.bait(rng, index, "{}: ")
        adjective = self.vocabulary.draw(rng, "adjectives", len(index))
        return self.item_words(rng, index).select(
            title=pl.format("{}{} {}", bait, adjective, "first"),
            description=pl.format("{} {}, {} and {}; {}.", "opening", "second", "third", "fourth", "tone"),
        )

    def logits(self, shown: Shown, history: History, context: Columns) -> Arrays:
        item, affinity = shown.item, self.affinity(shown)
        habit, loyalty, trend = history.so_far(shown)
        price = self.thrift[shown.user] * self.dearness[item]
        click = -2.5 + 1.0 * affinity - 0.4 * price + self.click_pull[item] + 0.8 * habit + 0.2 * trend
        purchase = -3.1 + 0.6 * affinity - 0.7 * price + self.purchase_pull[item] + 1.2 * loyalty
        opinion = self.opinion[item] + 0.35 * affinity
        return click, purchase, opinion

    def third(self, rng: np.random.Generator, shown: Shown, logit: np.ndarray, happened: Arrays) -> Arrays:
        _, bought = happened
        # Whether there is a rating depends on what is seen, never on the rating itself.
        rated = bought & happens(rng, RATED_ON_DEVICE[shown.device])
        stars = np.full(len(shown), NOT_OBSERVED, dtype=np.int8)
        stars[rated] = draw_stars(rng, logit[rated])
        return stars, expected_stars(logit)


def expected_stars(opinion: np.ndarray) -> np.ndarray:
    """float32 [rows]: the mean of `draw_stars`."""
    stars = np.ones_like(opinion)
    for boundary in STARS:
        stars += sigmoid((opinion - boundary) / RATING_SPREAD)
    return stars


def draw_stars(rng: np.random.Generator, opinion: np.ndarray) -> np.ndarray:
    """int8 [rows], 1 to 5: the opinion with logistic noise, rounded."""
    noise = rng.logistic(0, RATING_SPREAD, len(opinion))
    return (1 + np.searchsorted(STARS, opinion + noise)).astype(np.int8)
