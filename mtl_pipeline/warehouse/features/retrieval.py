"""The candidate stage: which items of a large catalogue are worth scoring for a user.

Four sources, each with a list of its own: what most users chose lately, what is newest, what others chose together with
what the user chose last (item-based collaborative filtering, see relations), and what is nearest to that by its text.
A source is a dense row of scores, or one order for all users, so any number of users is served by few array
operations; the network then scores the union of the lists (two stages: Covington et al., RecSys 2016,
https://doi.org/10.1145/2959100.2959190).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix, diags_array

from mtl_pipeline.warehouse.features.relations import PRIOR_CHOICES, Relations

CELLS_AT_ONCE = 20_000_000
"""Users times items: 80 MB for the scores of a source."""


@dataclass(frozen=True)
class Retrieval:
    sources: list[str]
    each: int
    orders: dict[str, np.ndarray]
    """int64 [items]: their places, the best first, by source that is the same for all users."""
    relations: Relations | None
    numbers: np.ndarray
    """int64 [items]: as which `relations` knows them."""

    @property
    def users_at_once(self) -> int:
        return max(1, CELLS_AT_ONCE // max(1, len(self.numbers)))

    def found(self, users: pl.DataFrame, on_offer: np.ndarray) -> np.ndarray:
        """uint8 [users, items]: a bit for each source that has the item, of what is on offer to the user. `users`: with
        _first and _end, unless all sources are the same for all users."""
        found = np.zeros(on_offer.shape, dtype=np.uint8)
        for bit, source in enumerate(self.sources):
            if source in self.orders:
                most_taken = int((~on_offer).sum(1).max(initial=0))
                first = self.orders[source][: self.each + most_taken]
                open_ = on_offer[:, first]
                found[:, first] |= (open_ & (open_.cumsum(1) <= self.each)).astype(np.uint8) << bit
                continue
            scores = np.where(on_offer, getattr(self, source)(users), 0)
            last = max(0, scores.shape[1] - self.each)
            best = (
                np.argpartition(scores, last, axis=1)[:, last:] if scores.size else np.zeros((0, 0), np.int64)
            )
            rows = np.arange(len(scores))[:, None]
            found[rows, best] |= (scores[rows, best] > 0).astype(np.uint8) << bit
        return found

    def neighbours(self, users: pl.DataFrame) -> np.ndarray:
        """float [users, items]: how often each was chosen together with what the user chose last."""
        theirs, present = self.chosen_last(users)
        ends = np.arange(len(theirs) + 1) * theirs.shape[1]
        profiles = csr_matrix((present.ravel(), theirs.ravel(), ends), (len(theirs), self.related.items))
        scale = diags_array(
            (np.bincount(self.related.item[:-1], minlength=self.related.items) + PRIOR_CHOICES) ** -0.5
        )
        return (profiles @ scale @ self.related.together_now @ scale)[:, self.numbers].toarray()

    def text(self, users: pl.DataFrame) -> np.ndarray:
        """float32 [users, items]: cosine with the mean of what the user chose last, times that mean's length."""
        theirs, present = self.chosen_last(users)
        vectors = self.related.vectors
        assert vectors is not None
        return (vectors[theirs] * present[..., None]).mean(1) @ vectors[self.numbers].T

    def chosen_last(self, users: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        places, present = self.related.places(users["_first"].to_numpy(), users["_end"].to_numpy())
        return self.related.item[places], present

    @property
    def related(self) -> Relations:
        assert self.relations is not None
        return self.relations


def as_lists(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The items that any source found, in the order of their places, and where a user has fewer than others: int64 and
    bool [users, slots]."""
    user, item = np.nonzero(found)
    counts = np.bincount(user, minlength=len(found))
    present = np.arange(counts.max(initial=0)) < counts[:, None]
    items = np.zeros(present.shape, dtype=np.int64)
    items[present] = item
    return items, present
