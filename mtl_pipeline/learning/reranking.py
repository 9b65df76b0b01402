"""Lists taken from the best items of each user: less alike, and less popular, than the best by score alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from mtl_pipeline.candidates import Candidates
from mtl_pipeline.learning.data.dataset import TextVectors
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.spec.recommendations import Diversity

POOL = 10
"""Times as many items as are wanted, from which they are taken."""
USERS_AT_ONCE = 200
"""Users whose pools' vectors lie in memory together: 200 times 100 of 384 numbers are 31 MB."""
LAST_RESORT = 10.0
"""Off the value of an item of which there are enough alike: more than other values, from -2 to 1, lie apart."""


@dataclass(frozen=True)
class Reranker:
    diversity: Diversity
    popularity_correction: float
    items: pl.DataFrame
    """item_id, `_popularity`, from 0 to 1, and `_alike`, what `diversity.by` says."""
    vectors: np.ndarray | None
    """float32 [items, dimension], each of length 1, where likeness counts."""

    @classmethod
    def of(cls, spec: PipelineSpec, candidates: Candidates, text: TextVectors) -> Reranker | None:
        """None where lists are the best by score."""
        declared, items = spec.recommendations, candidates.items
        if not (declared.diversity or declared.popularity_correction):
            return None
        diversity = declared.diversity or Diversity()
        alike = pl.col(diversity.by) if diversity.by else pl.lit(None, pl.String)
        if diversity.by and isinstance(items[diversity.by].dtype, pl.List):
            alike = alike.list.first()
        place = pl.Series(candidates.times_chosen).rank("average")
        known = items.select("item_id", _alike=alike, _popularity=(place - 1) / max(1, len(items) - 1))
        vectors = None
        if diversity.similarity:
            numbered = pl.DataFrame({"item_id": text.ids["item_id"]}).with_row_index("row")
            rows = items.select("item_id").join(numbered, on="item_id", how="left", maintain_order="left")
            vectors = text.tables["items"].vectors[rows["row"].to_numpy()]
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
        return cls(diversity, declared.popularity_correction, known, vectors)

    def best(self, pool: pl.DataFrame, per_user: int) -> pl.DataFrame:
        """At most `per_user` of each user's rows in `pool`, which are the best by score, with `rank` from 1, in their
        order. Items are taken one by one, for all users at once, by the score, brought to 0 to 1, minus what is taken
        off for popularity and for likeness to the items taken before."""
        rows = pool.join(self.items.with_row_index("_place"), on="item_id", how="left", maintain_order="left")
        score, user = pl.col("score"), "user_id"
        relevance = (score - score.min().over(user)) / (score.max() - score.min()).over(user)
        value = relevance.fill_nan(1.0).fill_null(0.0) - self.popularity_correction * pl.col("_popularity")
        rows = rows.with_columns(_value=value)
        nth = pl.col("_value").rank("ordinal", descending=True).over(user, "_alike")
        enough = pl.col("_alike").is_not_null() & (nth > self.diversity.at_most)
        rows = rows.with_columns(_value=pl.col("_value") - LAST_RESORT * enough)
        users, slots = (
            column.cast(pl.Int64).to_numpy() for column in (rows[user].rle_id(), rows["rank"] - 1)
        )
        shape = int(users.max(initial=-1)) + 1, int(slots.max(initial=-1)) + 1
        values, places = np.full(shape, -np.inf), np.zeros(shape, np.int64)
        values[users, slots], places[users, slots] = rows["_value"].to_numpy(), rows["_place"].to_numpy()
        slices = [slice(first, first + USERS_AT_ONCE) for first in range(0, len(values), USERS_AT_ONCE)]
        turns = [self.take(values[some], places[some], per_user) for some in slices]
        ranks = np.concatenate([*turns, np.empty((0, shape[1]), np.int64)])[users, slots]
        taken = pool.with_columns(rank=pl.Series(ranks).cast(pool["rank"].dtype)).filter(ranks > 0)
        return taken.sort(user, "rank")

    def take(self, values: np.ndarray, places: np.ndarray, number: int) -> np.ndarray:
        """In which turn, from 1, items are taken, 0 where they are not: int64 [users, items]. `values`: float, minus
        infinity where there is no item; `places`: of the items among all."""
        turns, closest = np.zeros(values.shape, np.int64), np.zeros(values.shape, np.float32)
        everyone, vectors = np.arange(len(values)), None if self.vectors is None else self.vectors[places]
        for turn in range(1, min(number, values.shape[1]) + 1):
            best = (values - self.diversity.similarity * closest).argmax(1)
            there = np.isfinite(values[everyone, best])
            turns[everyone[there], best[there]] = turn
            values[everyone, best] = -np.inf
            if vectors is not None:
                closest = np.maximum(closest, np.einsum("upd,ud->up", vectors, vectors[everyone, best]))
        return turns
