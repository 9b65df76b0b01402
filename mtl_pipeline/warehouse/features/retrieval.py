"""The candidate stage: which items of a large catalogue are worth scoring for a user.

Four sources, each with a list of its own: what most users chose lately, what is newest, what others chose together with
what the user chose last (item-based collaborative filtering, see relations), and what is nearest to that by its text.
The first two are one order for all users, the others products of matrices, so a source takes a few array operations for
many users. The network then scores the union (two stages: Covington et al., RecSys 2016,
https://doi.org/10.1145/2959100.2959190).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix, diags_array

from mtl_pipeline.spec.recommendations import CandidateStage
from mtl_pipeline.warehouse.features.relations import PRIOR_CHOICES, Relations

CELLS_AT_ONCE = 20_000_000
"""Users times items: 80 MB for the scores of a source."""


Scored = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Users, items and how much they have to do with each other: arrays of one length."""


@dataclass(frozen=True)
class Retrieval:
    stage: CandidateStage
    orders: dict[str, np.ndarray]
    """int64 [items]: their places, the best first, by source that is the same for all users."""
    related: dict[str, Callable[[csr_matrix, np.ndarray], Scored]]
    """By other source, from what users chose last, [users, items that `relations` knows], and what is on offer."""
    relations: Relations | None

    @classmethod
    def of(
        cls,
        stage: CandidateStage,
        ranks: pl.DataFrame,
        relations: Relations | None,
        numbers: pl.Series | None,
    ) -> Retrieval:
        """`ranks`: of items, by source; `numbers`: as which `relations` knows them."""
        orders = {name: ranks[name].arg_sort().to_numpy() for name in ("popular", "newest")}
        if relations is None or numbers is None:
            return cls(stage, orders, {}, None)
        times = np.bincount(relations.item[:-1], minlength=relations.items)
        scale = diags_array((times + PRIOR_CHOICES) ** -0.5)
        together = (scale @ relations.together_now @ scale).tocsr()[:, numbers.to_numpy()]
        vectors = relations.vectors if "text" in stage.sources else None
        theirs = None if vectors is None else vectors[numbers.to_numpy()].T

        def neighbours(profiles: csr_matrix, on_offer: np.ndarray) -> Scored:
            scores = (profiles @ together).tocoo()
            return scores.row, scores.col, scores.data

        def text(profiles: csr_matrix, on_offer: np.ndarray) -> Scored:
            scores = np.where(on_offer, (profiles @ vectors) @ theirs, 0)
            last = max(0, scores.shape[1] - stage.each)
            enough = np.partition(scores, last, axis=1)[:, last, None]
            user, item = np.nonzero((scores > 0) & (scores >= enough))  # without a past, all are 0
            return user, item, scores[user, item]

        return cls(stage, orders, {"neighbours": neighbours, "text": text}, relations)

    def found(self, users: pl.DataFrame, on_offer: np.ndarray) -> np.ndarray:
        """uint8 [users, items]: a bit for each source that has the item, of what is on offer to the user. `users`: with
        _first and _end, unless all sources are the same for all users."""
        found, each = np.zeros(on_offer.shape, dtype=np.uint8), self.stage.each
        profiles = self.profiles(users) if self.relations else None
        most_taken = int((~on_offer).sum(1).max(initial=0))
        for bit, source in enumerate(self.stage.sources):
            if source in self.orders:
                items = self.orders[source][: each + most_taken]
                free = on_offer[:, items]
                found[:, items] |= (free & (free.cumsum(1) <= each)).astype(np.uint8) << bit
            else:
                user, item, score = self.related[source](profiles, on_offer)
                falling = np.lexsort((-score, user))
                falling = falling[(on_offer[user, item] & (score > 0))[falling]]
                nth = np.arange(len(falling)) - np.searchsorted(user[falling], user[falling])
                best = falling[nth < each]
                found[user[best], item[best]] |= 1 << bit
        return found

    def profiles(self, users: pl.DataFrame) -> csr_matrix:
        assert self.relations is not None
        places, present = self.relations.places(users["_first"].to_numpy(), users["_end"].to_numpy())
        starts = np.arange(len(places) + 1) * places.shape[1]
        items = self.relations.item[places].ravel()
        return csr_matrix(
            (present.ravel().astype(np.float32), items, starts), (len(places), self.relations.items)
        )


def as_lists(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What any source found, as items of each user, in their order, and where they are: some users have fewer than
    others. int64 and bool [users, most]."""
    user, item = np.nonzero(found)
    counts = np.bincount(user, minlength=len(found))
    present = np.arange(counts.max(initial=0)) < counts[:, None]
    items = np.zeros(present.shape, dtype=np.int64)
    items[present] = item
    return items, present
