"""`social`: click, then like and comment.

Posts range from calm to heated. A heated tone draws comments and costs likes; a teasing phrase draws
clicks and costs likes. So comment pulls against like. Users say in their bio what they are here for.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl

from mtl_pipeline.simulation.exposure import DEVICES, Shown
from mtl_pipeline.simulation.history import History
from mtl_pipeline.simulation.language import levels_of
from mtl_pipeline.simulation.planting import interaction_defects, value_defect
from mtl_pipeline.simulation.scenario import Arrays, Columns, Scenario, happens, observed_where, sigmoid

BAIT_SHARE = 0.3
MEDIA = ["text", "photo", "video"]
MEDIA_EFFECT = np.array([-0.3, 0.0, 0.4])
COUNTRIES = ["BR", "DE", "FR", "IN", "JP", "NG", "PL", "US"]


class Social(Scenario):
    name = "social"
    tasks = ("click", "like", "comment")
    columns: ClassVar = {
        "users.csv": ("user_id", "age", "country", "bio"),
        "items.csv": ("post_id", "text", "community", "media", "author_followers"),
    }
    missing: ClassVar = {"age": 0.08, "bio": 0.12, "text": 0.03}
    own_taste = 0.5
    late_items = 0.7
    defects: ClassVar = {
        "users.csv": [
            value_defect("user_id", "guest", "not a whole number"),
            value_defect("age", "-1", "outside 1 to 120"),
            value_defect("age", "old", "not a whole number"),
            value_defect("country", "XX", f"not one of {', '.join(COUNTRIES)}"),
        ],
        "items.csv": [
            value_defect("post_id", "#", "not a whole number"),
            value_defect("community", "", "missing"),
            value_defect("media", "hologram", f"not one of {', '.join(MEDIA)}"),
            value_defect("author_followers", "-5", "below 0"),
            value_defect("author_followers", "many", "not a whole number"),
        ],
        "interactions.csv": [
            *interaction_defects("post_id"),
            value_defect("like", "1", "without a click", click="0", comment=""),
            value_defect("like", "0x1", "neither 0 nor 1", click="1"),
            value_defect("comment", "1", "without a click", click="0", like=""),
            value_defect("comment", "3", "neither 0 nor 1", click="1", like="0"),
        ],
    }

    def draw_user_traits(self, rng: np.random.Generator, count: int) -> None:
        country = rng.integers(len(COUNTRIES), size=count)
        talkative_country = rng.normal(0, 0.5, len(COUNTRIES))
        self.talkative = (talkative_country[country] + rng.normal(0, 0.6, count)).astype(np.float32)
        self.users.traits.update(country=pl.Series(COUNTRIES).gather(country))

    def draw_item_traits(self, rng: np.random.Generator, count: int) -> None:
        media = rng.integers(len(MEDIA), size=count, dtype=np.int8)
        followers = np.rint(rng.lognormal(6, 1.5, count)).astype(np.int64)
        self.tone = levels_of(rng.normal(size=count))
        self.baits = rng.random(count) < BAIT_SHARE
        appeal = rng.normal(0, 0.2, count).astype(np.float32)
        self.items.traits.update(
            community=pl.Series(self.vocabulary.categories).gather(self.items.category),
            media=pl.Series(MEDIA).gather(media),
            author_followers=followers,
        )
        heat, bait = self.tone - np.float32(1.5), self.baits.astype(np.float32)
        fame = ((np.log1p(followers) - 6) / 1.5).astype(np.float32)
        expressed = MEDIA_EFFECT[media] + 0.8 * bait + 0.25 * heat + 0.2 * fame
        self.click_pull = expressed.astype(np.float32) + appeal
        self.like_pull = -0.7 * heat - 0.8 * bait + 0.3 * fame
        self.comment_pull = 0.9 * heat

    def user_texts(self, rng: np.random.Generator, index: np.ndarray) -> pl.DataFrame:
        words = self.vocabulary
        best, next_best = np.argsort(-self.users.taste[index], axis=1, kind="stable")[:, :2].T
        return pl.DataFrame(
            {
                "greeting": words.draw(rng, "greetings", len(index)),
                "first": words.draw_from_each(rng, "words", best),
                "second": words.draw_from_each(rng, "words", best),
                "third": words.draw_from_each(rng, "words", next_best),
            }
        ).select(bio=pl.format("{} {}, {} and {}", "greeting", "first", "second", "third"))

    def item_texts(self, rng: np.random.Generator, index: np.ndarray) -> pl.DataFrame:
        words, bait = self.item_words(rng, index), self.bait(rng, index, " ... {}")
        parts = ("opening", "first", "second", "third", "fourth", "tone")
        return words.select(text=pl.format("{} {}, {}, {} and {}; {}{}", *parts, bait))

    def logits(self, shown: Shown, history: History, context: Columns) -> Arrays:
        item, affinity = shown.item, self.affinity(shown)
        habit, loyalty, trend = history.so_far(shown)
        click = -2.5 + 1.1 * affinity + self.click_pull[item] + 0.8 * habit + 0.25 * trend
        like = -2.3 + 0.7 * affinity + self.like_pull[item] + 0.9 * loyalty
        comment = -2.2 + 0.2 * affinity + self.comment_pull[item] + self.talkative[shown.user] - 0.4 * loyalty
        return click, like, comment

    def third(self, rng: np.random.Generator, shown: Shown, logit: np.ndarray, happened: Arrays) -> Arrays:
        clicked, _ = happened
        comment = sigmoid(logit)
        # The tablet's app does not report comments.
        known = clicked & (shown.device != DEVICES.index("tablet"))
        return observed_where(known, happens(rng, comment)), comment
