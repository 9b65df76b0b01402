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

from mtl_pipeline.spec.sections import CandidateStage
from mtl_pipeline.warehouse.features.relations import PRIOR_CHOICES, Relations

CELLS_AT_ONCE = 20_000_000
"""Users times items: 80 MB for the scores of a source."""


@dataclass(frozen=True)
class Retrieval:
    stage: CandidateStage
    orders: dict[str, np.ndarray]
    """int64 [items]: their places, the best first, by source that is the same for all users."""
    scores: dict[str, Callable[[csr_matrix], np.ndarray]]
    """float [users, items], 0 for what is not related, by other source, from what users chose last: [users, items that
    `relations` knows], how often."""
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
        scores: dict[str, Callable[[csr_matrix], np.ndarray]] = {}
        if relations and numbers is not None:
            times = np.bincount(relations.item[:-1], minlength=relations.items)
            scale = diags_array((times + PRIOR_CHOICES) ** -0.5)
            together = (scale @ relations.together_now @ scale).tocsr()[:, numbers.to_numpy()]
            scores["neighbours"] = lambda profiles: (profiles @ together).toarray()
            if (vectors := relations.vectors) is not None:
                scores["text"] = lambda profiles: (profiles @ vectors) @ vectors[numbers.to_numpy()].T
        return cls(stage, orders, scores, relations)

    def found(self, users: pl.DataFrame, on_offer: np.ndarray) -> np.ndarray:
        """uint8 [users, items]: a bit for each source that has the item, of what is on offer to the user. `users`: with
        _first and _end, unless all sources are the same for all users."""
        found, each = np.zeros(on_offer.shape, dtype=np.uint8), self.stage.each
        everyone = np.arange(len(found))[:, None]
        profiles = self.profiles(users) if self.relations else None
        for bit, source in enumerate(self.stage.sources):
            if source in self.orders:
                most_taken = int((~on_offer).sum(1).max(initial=0))
                items = self.orders[source][None, : each + most_taken]
                free = on_offer[everyone, items]
                best = free & (free.cumsum(1) <= each)
            else:
                scores = np.where(on_offer, self.scores[source](profiles), 0)
                items = np.argpartition(scores, -min(each, scores.shape[1]), axis=1)[:, -each:]
                best = scores[everyone, items] > 0
            found[everyone, items] |= best.astype(np.uint8) << bit
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
