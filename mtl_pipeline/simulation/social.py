"""`social`: click, then like and comment.

Posts range from calm to heated. A heated tone draws comments and costs likes; a teasing phrase draws
clicks and costs likes. So comment pulls against like. Users say in their bio what they are here for.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from mtl_pipeline.simulation.exposure import Shown
from mtl_pipeline.simulation.history import History
from mtl_pipeline.simulation.language import blank_some, levels_of
from mtl_pipeline.simulation.planting import Defect, interaction_defects, value_defect
from mtl_pipeline.simulation.population import draw_arrivals, draw_demographics, draw_items, draw_users
from mtl_pipeline.simulation.scenario import DEVICES, Outcomes, Scenario, happens, observed_where, sigmoid

LATE_POSTS = 0.7
BAIT_SHARE = 0.3
MEDIA = ["text", "photo", "video"]
MEDIA_EFFECT = np.array([-0.3, 0.0, 0.4])
COUNTRIES = ["BR", "DE", "FR", "IN", "JP", "NG", "PL", "US"]


class Social(Scenario):
    name = "social"
    tasks = ("click", "like", "comment")
    item_column = "post_id"

    def populate(self, rng: np.random.Generator, users: int, items: int) -> None:
        topics = len(self.vocabulary.topics)
        self.users = draw_users(rng, users, topics, draw_demographics(rng, users), own=0.5)
        country = rng.integers(len(COUNTRIES), size=users)
        talkative_country = rng.normal(0, 0.5, len(COUNTRIES))
        self.users.traits.update(
            country=country.astype(np.int8),
            talkative=(talkative_country[country] + rng.normal(0, 0.6, users)).astype(np.float32),
        )
        self.items = draw_items(rng, items, topics, draw_arrivals(items, LATE_POSTS))
        self.items.traits.update(
            media=rng.integers(len(MEDIA), size=items, dtype=np.int8),
            followers=np.rint(rng.lognormal(6, 1.5, items)).astype(np.int64),
            heat=rng.normal(size=items).astype(np.float32),
            bait=rng.random(items) < BAIT_SHARE,
            appeal=rng.normal(0, 0.2, items).astype(np.float32),
        )

    def prepare(self) -> None:
        super().prepare()
        traits = self.items.traits
        heat = levels_of(traits["heat"]).astype(np.float32) - 1.5
        bait = traits["bait"].astype(np.float32)
        fame = ((np.log1p(traits["followers"]) - 6) / 1.5).astype(np.float32)
        self.click_pull = (MEDIA_EFFECT[traits["media"]] + 0.8 * bait + 0.25 * heat + 0.2 * fame).astype(
            np.float32
        ) + traits["appeal"]
        self.like_pull = -0.7 * heat - 0.8 * bait + 0.3 * fame
        self.comment_pull = 0.9 * heat

    def outcomes(self, rng: np.random.Generator, shown: Shown, history: History) -> Outcomes:
        item = shown.item
        affinity, category = self.affinity(shown), self.category[item]
        loyalty = history.loyalty(shown)
        click = sigmoid(
            -2.5
            + 1.1 * affinity
            + self.click_pull[item]
            + 0.8 * history.habit(shown, category)
            + 0.25 * history.trend[item]
            + self.click_circumstances(shown)
        )
        like = sigmoid(-2.3 + 0.7 * affinity + self.like_pull[item] + 0.9 * loyalty)
        comment = sigmoid(
            -2.2
            + 0.2 * affinity
            + self.comment_pull[item]
            + self.users.traits["talkative"][shown.user]
            - 0.4 * loyalty
        )
        clicked = happens(rng, click)
        liked = clicked & happens(rng, like)
        commented = clicked & happens(rng, comment)
        # The tablet's app does not report comments.
        reported = clicked & (shown.device != DEVICES.index("tablet"))
        return Outcomes(
            labels={
                "click": clicked.astype(np.int8),
                "like": observed_where(clicked, liked),
                "comment": observed_where(reported, commented),
            },
            truth={"click": click, "like": like, "comment": comment},
            converted=liked,
        )

    def user_rows(self, rng: np.random.Generator, first: int, last: int) -> pl.DataFrame:
        words, traits, count = self.vocabulary, self.users.traits, last - first
        liked_most, liked_next = top_topics(self.users.taste[first:last])
        bios = pl.DataFrame(
            {
                "greeting": words.draw_phrases(rng, "greetings", count),
                "first": words.draw_words(rng, liked_most),
                "second": words.draw_words(rng, liked_most),
                "third": words.draw_words(rng, liked_next),
            }
        ).select(bio=pl.format("{} {}, {} and {}", "greeting", "first", "second", "third"))
        return pl.DataFrame(
            {
                "user_id": np.arange(first + 1, last + 1),
                "age": blank_some(rng, pl.Series(traits["age"][first:last]), 0.08),
                "country": pl.Series(COUNTRIES).gather(traits["country"][first:last]),
                "bio": blank_some(rng, bios["bio"], 0.12),
            }
        )

    def item_rows(self, rng: np.random.Generator, first: int, last: int) -> pl.DataFrame:
        items, words, count = self.items, self.vocabulary, last - first
        posts = pl.DataFrame(
            {
                "opening": words.draw_phrases(rng, "openings", count),
                **self.topic_words(rng, first, last),
                "tone": words.draw_levels(rng, "tone", levels_of(items.traits["heat"][first:last])),
                "bait": words.draw_phrases(rng, "bait", count),
                "baited": items.traits["bait"][first:last],
            }
        ).select(
            text=pl.concat_str(
                pl.format(
                    "{} {}, {}, {} and {}; {}", "opening", "first", "second", "third", "fourth", "tone"
                ),
                pl.when("baited").then(pl.concat_str(pl.lit(" ... "), "bait")).otherwise(pl.lit("")),
            )
        )
        return pl.DataFrame(
            {
                self.item_column: np.arange(first + 1, last + 1),
                "text": blank_some(rng, posts["text"], 0.03),
                "community": pl.Series(words.categories).gather(items.category[first:last]),
                "media": pl.Series(MEDIA).gather(items.traits["media"][first:last]),
                "author_followers": items.traits["followers"][first:last],
            }
        )

    def defects(self) -> dict[str, list[Defect]]:
        return {
            "users.csv": [
                value_defect("user_id", "guest", "not a whole number"),
                value_defect("age", "-1", "outside 1 to 120"),
                value_defect("age", "old", "not a whole number"),
                value_defect("country", "XX", "not one of BR, DE, FR, IN, JP, NG, PL, US"),
            ],
            "items.csv": [
                value_defect("post_id", "#", "not a whole number"),
                value_defect("community", "", "missing"),
                value_defect("media", "hologram", "not one of text, photo, video"),
                value_defect("author_followers", "-5", "below 0"),
                value_defect("author_followers", "many", "not a whole number"),
            ],
            "interactions.csv": [
                *interaction_defects(self.item_column),
                value_defect("like", "1", "without a click", click="0", comment=""),
                value_defect("like", "0x1", "neither 0 nor 1", click="1"),
                value_defect("comment", "1", "without a click", click="0", like=""),
                value_defect("comment", "3", "neither 0 nor 1", click="1", like="0"),
            ],
        }


def top_topics(taste: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The topics that each user likes best and second best: int64 [users] twice."""
    best = np.argsort(-taste, axis=1, kind="stable")
    return best[:, 0], best[:, 1]
