"""`news`: click, then share and comment.

Every day has articles of its own, shown on that day and the next, so that no article of the test
split was ever seen in training: only its text, section and length tell what it is. A sensational
headline draws clicks and is rarely shared; useful articles are shared; divisive ones are commented on.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from mtl_pipeline.simulation.clock import DAY_MS, DAYS, HOUR_MS, START_MS
from mtl_pipeline.simulation.exposure import Shown
from mtl_pipeline.simulation.history import History
from mtl_pipeline.simulation.language import blank_some, levels_of
from mtl_pipeline.simulation.planting import Defect, interaction_defects, value_defect
from mtl_pipeline.simulation.population import draw_demographics, draw_items, draw_users
from mtl_pipeline.simulation.scenario import Outcomes, Scenario, happens, observed_where, sigmoid

BAIT_SHARE = 0.25
REGIONS = ["coast", "highlands", "capital", "islands", "north", "south"]
SUBSCRIBERS = 0.3
EVENING_BEFORE_HOURS = 6
"""The articles of a day are published within so many hours before it starts."""


class News(Scenario):
    name = "news"
    tasks = ("click", "share", "comment")
    item_column = "article_id"
    context_columns = ("age_hours",)
    lifetime = 2

    def populate(self, rng: np.random.Generator, users: int, items: int) -> None:
        topics = len(self.vocabulary.topics)
        self.users = draw_users(rng, users, topics, draw_demographics(rng, users), own=0.45)
        self.users.traits.update(
            region=rng.integers(len(REGIONS), size=users, dtype=np.int8),
            subscriber=rng.random(users) < SUBSCRIBERS,
        )
        self.items = draw_items(rng, items, topics, (np.arange(items) * DAYS // items).astype(np.int16))
        before = (rng.random(items) * EVENING_BEFORE_HOURS * HOUR_MS).astype(np.int64)
        self.items.traits.update(
            published=START_MS + self.items.arrived.astype(np.int64) * DAY_MS - before,
            minutes=np.clip(np.rint(rng.gamma(4, 1.2, items)), 1, 30).astype(np.int16),
            heat=rng.normal(size=items).astype(np.float32),
            bait=rng.random(items) < BAIT_SHARE,
            appeal=rng.normal(0, 0.25, items).astype(np.float32),
        )

    def prepare(self) -> None:
        super().prepare()
        traits = self.items.traits
        heat = levels_of(traits["heat"]).astype(np.float32) - 1.5
        bait = traits["bait"].astype(np.float32)
        length = (traits["minutes"].astype(np.float32) - 5) / 3
        self.click_pull = 0.9 * bait + 0.2 * heat - 0.2 * length + traits["appeal"]
        self.share_pull = -0.6 * heat - 1.1 * bait + 0.2 * length
        self.comment_pull = 0.9 * heat + 0.2 * bait

    def outcomes(self, rng: np.random.Generator, shown: Shown, history: History) -> Outcomes:
        item = shown.item
        affinity, category = self.affinity(shown), self.category[item]
        subscriber = self.users.traits["subscriber"][shown.user].astype(np.float32)
        loyalty = history.loyalty(shown)
        click = sigmoid(
            -2.35
            + 1.1 * affinity
            + self.click_pull[item]
            + 0.7 * history.habit(shown, category)
            + 0.25 * history.trend[item]
            - 0.015 * self.age_hours(shown)
            + self.click_circumstances(shown)
        )
        share = sigmoid(-2.3 + 0.6 * affinity + self.share_pull[item] + 1.2 * loyalty)
        comment = sigmoid(-2.4 + 0.3 * affinity + self.comment_pull[item] + 1.1 * subscriber)
        clicked = happens(rng, click)
        shared = clicked & happens(rng, share)
        commented = clicked & happens(rng, comment)
        # Comments close at night, so nothing is known of them then.
        open_hours = clicked & (shown.times.hour >= 6)
        return Outcomes(
            labels={
                "click": clicked.astype(np.int8),
                "share": observed_where(clicked, shared),
                "comment": observed_where(open_hours, commented),
            },
            truth={"click": click, "share": share, "comment": comment},
            converted=shared,
        )

    def age_hours(self, shown: Shown) -> np.ndarray:
        """float32 [rows]: full hours since the article was published."""
        age = (shown.times.milliseconds - self.items.traits["published"][shown.item]) // HOUR_MS
        return age.astype(np.float32)

    def context(self, shown: Shown) -> dict[str, np.ndarray]:
        return {"age_hours": self.age_hours(shown).astype(np.int16)}

    def user_rows(self, rng: np.random.Generator, first: int, last: int) -> pl.DataFrame:
        traits = self.users.traits
        sections = pl.Series(self.vocabulary.categories)
        favourites = np.sort(self.users.favourites[first:last], axis=1)
        two, one = sections.gather(favourites[:, 0]), sections.gather(favourites[:, 1])
        interests = pl.select(
            pl.when(pl.Series(favourites[:, 0] == favourites[:, 1]))
            .then(one)
            .otherwise(pl.concat_str(two, pl.lit("|"), one))
        ).to_series()
        return pl.DataFrame(
            {
                "user_id": np.arange(first + 1, last + 1),
                "age": blank_some(rng, pl.Series(traits["age"][first:last]), 0.05),
                "region": pl.Series(REGIONS).gather(traits["region"][first:last]),
                "subscriber": traits["subscriber"][first:last].astype(np.int8),
                "interests": blank_some(rng, interests, 0.3),
            }
        )

    def item_rows(self, rng: np.random.Generator, first: int, last: int) -> pl.DataFrame:
        items, words, count = self.items, self.vocabulary, last - first
        texts = pl.DataFrame(
            {
                "bait": words.draw_phrases(rng, "bait", count),
                "baited": items.traits["bait"][first:last],
                "opening": words.draw_phrases(rng, "openings", count),
                **self.topic_words(rng, first, last),
                "tone": words.draw_levels(rng, "tone", levels_of(items.traits["heat"][first:last])),
            }
        ).select(
            headline=pl.concat_str(
                pl.when("baited").then(pl.concat_str("bait", pl.lit("! "))).otherwise(pl.lit("")),
                pl.format("{} {}", "opening", "first"),
            ),
            summary=pl.format("{}, {} and {}: {}.", "second", "third", "fourth", "tone"),
        )
        return pl.DataFrame(
            {
                self.item_column: np.arange(first + 1, last + 1),
                "headline": blank_some(rng, texts["headline"], 0.01),
                "summary": blank_some(rng, texts["summary"], 0.05),
                "section": pl.Series(words.categories).gather(items.category[first:last]),
                "minutes": items.traits["minutes"][first:last],
                "published": items.traits["published"][first:last],
            }
        )

    def defects(self) -> dict[str, list[Defect]]:
        return {
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
                *interaction_defects(self.item_column),
                value_defect("age_hours", "-3", "below 0"),
                value_defect("share", "1", "without a click", click="0", comment=""),
                value_defect("share", "maybe", "neither 0 nor 1", click="1"),
                value_defect("comment", "1", "without a click", click="0", share=""),
                value_defect("comment", "3", "neither 0 nor 1", click="1", share="0"),
            ],
        }
