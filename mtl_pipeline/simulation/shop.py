"""`shop`: click → purchase → rating.

Bait in the title and a low price attract clicks; good make, a price that fits the purse and earlier
purchases lead to a purchase; bait makes for bad ratings. So click pulls against purchase and rating.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from mtl_pipeline.simulation.exposure import Shown
from mtl_pipeline.simulation.history import History
from mtl_pipeline.simulation.language import blank_some, levels_of
from mtl_pipeline.simulation.planting import Defect, interaction_defects, value_defect
from mtl_pipeline.simulation.population import (
    LATE_ITEMS,
    draw_arrivals,
    draw_demographics,
    draw_items,
    draw_users,
)
from mtl_pipeline.simulation.scenario import (
    NOT_OBSERVED,
    Outcomes,
    Scenario,
    happens,
    observed_where,
    sigmoid,
)

BAIT_SHARE = 0.25
RATING_SPREAD = 0.5
RATED_ON_DEVICE = np.array([0.65, 0.85, 0.75], dtype=np.float32)
"""Share of the purchases that are rated, by device."""
STARS = np.array([1.5, 2.5, 3.5, 4.5], dtype=np.float32)
"""Where an opinion turns into one star more."""


class Shop(Scenario):
    name = "shop"
    tasks = ("click", "purchase", "rating")
    item_column = "product_id"

    def populate(self, rng: np.random.Generator, users: int, items: int) -> None:
        topics = len(self.vocabulary.topics)
        people = draw_demographics(rng, users)
        self.users = draw_users(rng, users, topics, people, own=0.35)
        age = (people["age"] - 41) / 14
        # The young and some others look at the price more.
        people["thrift"] = np.exp(-0.3 * age + rng.normal(0, 0.4, users)).clip(0, 3).astype(np.float32)
        self.items = draw_items(rng, items, topics, draw_arrivals(items, LATE_ITEMS))
        brands = len(self.vocabulary.other["brands"])
        brand = rng.integers(brands, size=items)
        brand_quality = rng.permutation(np.linspace(-1.6, 1.6, brands))
        dearness = rng.normal(size=items)
        quality = 0.5 * brand_quality[brand] + 0.4 * dearness + 0.77 * rng.normal(size=items)
        self.items.traits.update(
            brand=brand.astype(np.int8),
            dearness=dearness.astype(np.float32),
            quality=quality.astype(np.float32),
            bait=rng.random(items) < BAIT_SHARE,
            appeal=rng.normal(0, 0.25, items).astype(np.float32),
        )

    def prepare(self) -> None:
        super().prepare()
        traits = self.items.traits
        quality = levels_of(traits["quality"]).astype(np.float32) - 1.5
        bait = traits["bait"].astype(np.float32)
        self.click_pull = 1.1 * bait + traits["appeal"] - 0.1 * quality
        self.purchase_pull = 0.75 * quality - 1.0 * bait
        self.opinion = 3.6 + 0.5 * quality - 0.9 * bait - 0.15 * traits["dearness"]

    def outcomes(self, rng: np.random.Generator, shown: Shown, history: History) -> Outcomes:
        item = shown.item
        affinity, category = self.affinity(shown), self.category[item]
        price = self.users.traits["thrift"][shown.user] * self.items.traits["dearness"][item]
        click = sigmoid(
            -2.5
            + 1.0 * affinity
            - 0.4 * price
            + self.click_pull[item]
            + 0.8 * history.habit(shown, category)
            + 0.2 * history.trend[item]
            + self.click_circumstances(shown)
        )
        purchase = sigmoid(
            -3.1 + 0.6 * affinity - 0.7 * price + self.purchase_pull[item] + 1.2 * history.loyalty(shown)
        )
        opinion = self.opinion[item] + 0.35 * affinity
        clicked = happens(rng, click)
        bought = clicked & happens(rng, purchase)
        # Whether there is a rating depends on what is seen, never on the rating itself.
        rated = bought & happens(rng, RATED_ON_DEVICE[shown.device])
        stars = np.full(len(shown), NOT_OBSERVED, dtype=np.int8)
        stars[rated] = draw_stars(rng, opinion[rated])
        return Outcomes(
            labels={
                "click": clicked.astype(np.int8),
                "purchase": observed_where(clicked, bought),
                "rating": stars,
            },
            truth={"click": click, "purchase": purchase, "rating": expected_stars(opinion)},
            converted=bought,
        )

    def user_rows(self, rng: np.random.Generator, first: int, last: int) -> pl.DataFrame:
        traits = self.users.traits
        age = pl.Series(traits["age"][first:last])
        gender = pl.Series(["F", "M"]).gather(traits["gender"][first:last])
        return pl.DataFrame(
            {
                "user_id": np.arange(first + 1, last + 1),
                "age": blank_some(rng, age, 0.04),
                "gender": blank_some(rng, gender, 0.03),
            }
        )

    def item_rows(self, rng: np.random.Generator, first: int, last: int) -> pl.DataFrame:
        items, words, count = self.items, self.vocabulary, last - first
        typical = np.array(words.other["typical_price"])[items.main_topic[first:last]]
        price = np.round(typical * np.exp(0.5 * items.traits["dearness"][first:last].astype(np.float64)), 2)
        parts = pl.DataFrame(
            {
                "bait": words.draw_phrases(rng, "bait", count),
                "baited": items.traits["bait"][first:last],
                "adjective": words.draw_phrases(rng, "adjectives", count),
                "opening": words.draw_phrases(rng, "openings", count),
                **self.topic_words(rng, first, last),
                "quality": words.draw_levels(rng, "quality", levels_of(items.traits["quality"][first:last])),
            }
        )
        title = pl.concat_str(
            pl.when("baited").then(pl.concat_str("bait", pl.lit(": "))).otherwise(pl.lit("")),
            pl.concat_str("adjective", pl.lit(" "), "first"),
        )
        description = pl.format("{} {}, {} and {}; {}.", "opening", "second", "third", "fourth", "quality")
        texts = parts.select(title=title, description=description)
        return pl.DataFrame(
            {
                self.item_column: np.arange(first + 1, last + 1),
                "title": blank_some(rng, texts["title"], 0.01),
                "description": blank_some(rng, texts["description"], 0.04),
                "category": pl.Series(words.categories).gather(items.category[first:last]),
                "brand": pl.Series(words.other["brands"]).gather(items.traits["brand"][first:last]),
                "price": price,
            }
        )

    def defects(self) -> dict[str, list[Defect]]:
        return {
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
                *interaction_defects(self.item_column),
                value_defect("purchase", "1", "without a click", click="0", rating=""),
                value_defect("rating", "9", "outside 1 to 5", click="1", purchase="1"),
                value_defect("rating", "3.5", "not a whole number", click="1", purchase="1"),
                value_defect("rating", "4", "without a purchase", click="1", purchase="0"),
            ],
        }


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
