"""Who is shown what: sessions of users, each a slate of items from the top position down.

The item's category is one of the user's favourites or any, in equal parts; within the category,
popular items are shown most. Nothing is shown before it arrived.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtl_pipeline.simulation.clock import DAYS
from mtl_pipeline.simulation.population import Items, Users

PERSONAL_SHARE = 0.5
SHORTEST_SLATE, LONGEST_SLATE = 4, 12
DEVICES = ["phone", "desktop", "tablet"]
DEVICE_SHARES = np.array([0.55, 0.35, 0.10])


@dataclass(frozen=True)
class Shown:
    """Impressions in order of time; every array [rows]."""

    user: np.ndarray
    """int32 index"""
    item: np.ndarray
    """int32 index"""
    position: np.ndarray
    """int8, from 1: place on the slate"""
    device: np.ndarray
    """int8 index into DEVICES"""
    milliseconds: np.ndarray
    """int64 since 1970, strictly ascending"""
    hour: np.ndarray
    """int8 of the day"""

    def __len__(self) -> int:
        return len(self.user)


@dataclass(frozen=True)
class DayOffer:
    """What can be shown on one day, and to whom."""

    user_shares: np.ndarray
    """float64 [users present], cumulative up to 1"""
    category_shares: np.ndarray
    """float64 [categories], cumulative up to 1"""
    filled: np.ndarray
    """int8 [categories]: the category itself or, where it has nothing today, the next that has"""
    first: np.ndarray
    """int64 [categories]: place of the first item on offer in the list by category"""
    end: np.ndarray
    """int64 [categories]: place after the last one"""


class Exposure:
    """Draws impressions. `lifetime` is the number of days that an item is shown."""

    def __init__(self, users: Users, items: Items, categories: int, lifetime: int) -> None:
        self.users = users
        self.lifetime = lifetime
        self.categories = np.arange(categories)
        self.by_category = np.lexsort((items.arrived, items.category)).astype(np.int32)
        self.arrived = (items.category.astype(np.int64) * DAYS + items.arrived)[self.by_category]
        """Day of arrival, DAYS later for each category, so that the list is in order."""
        self.popularity = np.concatenate(([0.0], np.cumsum(items.popularity[self.by_category])))
        self.activity = np.cumsum(users.activity)

    def on(self, day: int) -> DayOffer:
        oldest = max(day - self.lifetime + 1, 0)
        first = np.searchsorted(self.arrived, self.categories * DAYS + oldest)
        end = np.searchsorted(self.arrived, self.categories * DAYS + day, side="right")
        with_items = self.categories[end > first]
        present = np.searchsorted(self.users.joined, day, side="right")
        return DayOffer(
            user_shares=self.activity[:present] / self.activity[present - 1],
            category_shares=np.cumsum(end - first) / np.sum(end - first),
            filled=with_items[np.searchsorted(with_items, self.categories) % len(with_items)].astype(np.int8),
            first=first,
            end=end,
        )

    def draw(
        self, rng: np.random.Generator, offer: DayOffer, milliseconds: np.ndarray, hour: np.ndarray
    ) -> Shown:
        rows = len(hour)
        lengths = rng.integers(SHORTEST_SLATE, LONGEST_SLATE + 1, size=rows // SHORTEST_SLATE + 1)
        starts = np.cumsum(lengths) - lengths
        starts = starts[starts < rows]
        lengths = np.diff(starts, append=rows)
        visitor = np.searchsorted(offer.user_shares, rng.random(len(starts)), side="right").astype(np.int32)
        device = np.searchsorted(np.cumsum(DEVICE_SHARES), rng.random(len(starts)), side="right")
        user = np.repeat(visitor, lengths)
        return Shown(
            user=user,
            item=self.draw_items(rng, offer, user),
            position=(np.arange(1, rows + 1) - np.repeat(starts, lengths)).astype(np.int8),
            device=np.repeat(device.astype(np.int8), lengths),
            milliseconds=milliseconds,
            hour=hour,
        )

    def draw_items(self, rng: np.random.Generator, offer: DayOffer, user: np.ndarray) -> np.ndarray:
        rows = len(user)
        choice = rng.random(rows, dtype=np.float32)
        category = np.searchsorted(offer.category_shares, rng.random(rows), side="right").astype(np.int8)
        favourite = self.users.favourites.ravel()[2 * user + (choice < PERSONAL_SHARE / 2)]
        category = offer.filled[np.where(choice < PERSONAL_SHARE, favourite, category)]
        below = self.popularity[offer.first]
        within = self.popularity[offer.end] - below
        target = below[category] + rng.random(rows) * within[category]
        place = np.searchsorted(self.popularity, target, side="right") - 1
        # Rounding may lead across the ends of a category.
        return self.by_category[np.clip(place, offer.first[category], offer.end[category] - 1)]
