"""What happened so far, as it stood last midnight: habits, loyalty and trends that shape what follows."""

from __future__ import annotations

import numpy as np

from mtl_pipeline.simulation.exposure import Shown

HABIT_KEPT_PER_DAY = 0.95
TREND_KEPT_PER_DAY = 0.8
ONE = np.float32(1)  # of the type it is added to, else numpy adds ten times slower


class History:
    """Counts of earlier outcomes. Read all day long, written once at midnight."""

    def __init__(self, users: int, category: np.ndarray, categories: int) -> None:
        """`category` is that of each item [items]."""
        self.category, self.categories = category, categories
        self.clicks = np.zeros(users * categories, dtype=np.float32)
        """By user and category, fading."""
        self.conversions = np.zeros(users, dtype=np.float32)
        """By user, for ever."""
        self.item_clicks = np.zeros(len(category), dtype=np.float32)
        """By item, fading fast."""
        self.trend = np.zeros(len(category), dtype=np.float32)
        self.today: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def so_far(self, shown: Shown) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Habit, loyalty and trend, float32 [rows]: how used the user is to clicking in the item's category and how
        often the user has converted, both from 0 to 1; how much the item is being clicked, from 0 to 2."""
        clicks = self.clicks[shown.user * self.categories + self.category[shown.item]]
        conversions = self.conversions[shown.user]
        return clicks / (clicks + 2), conversions / (conversions + 2), self.trend[shown.item]

    def note(self, shown: Shown, clicked: np.ndarray, converted: np.ndarray) -> None:
        """Keep the outcomes (bool [rows]) of some of today's rows for midnight."""
        item = shown.item[clicked]
        user_category = shown.user[clicked] * self.categories + self.category[item]
        self.today.append((user_category, item, shown.user[converted]))

    def close_day(self) -> None:
        self.clicks *= HABIT_KEPT_PER_DAY
        self.item_clicks *= TREND_KEPT_PER_DAY
        for user_category, item, converted in self.today:
            np.add.at(self.clicks, user_category, ONE)
            np.add.at(self.item_clicks, item, ONE)
            np.add.at(self.conversions, converted, ONE)
        self.today.clear()
        alive = self.item_clicks > 0.01
        usual = self.item_clicks[alive].mean() if alive.any() else 1.0
        self.trend = np.minimum(np.log1p(self.item_clicks / usual), 2.0)
