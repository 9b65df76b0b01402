"""Candidates for recommendation, as the warehouse hands them to a model: users with items, all of them or those of a
candidate stage. A feature of the user, or of the item, is there once for all their pairs; one of both, once for all
items that it cannot tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl


@dataclass(frozen=True)
class OfBoth:
    """Features of users with kinds of items."""

    features: pl.DataFrame
    """[users × kinds]: one user after another, each with all kinds."""
    kind: np.ndarray
    """int64 [items]: which of the kinds each item is of."""


@dataclass(frozen=True)
class Block:
    """Some users, each with as many places for items, by default all items in their order."""

    users: pl.DataFrame
    """user_id, features of the user and of the moment; with sequences, CHOSEN_FROM and CHOSEN_TO."""
    of_both: list[OfBoth]
    on_offer: np.ndarray
    """bool [users, places]: whether the item may be recommended to the user."""
    items: np.ndarray | None = None
    """int64 [users, places]: which item each place has, after a candidate stage."""
    found: np.ndarray | None = None
    """uint8 [users, items]: in a sample, a bit for each source of the candidate stage that has the item."""


@dataclass(frozen=True)
class Candidates:
    """All users in blocks, to be gone through once, in the order of their ids."""

    items: pl.DataFrame
    """item_id and features of the item, in the order of ids."""
    blocks: Iterator[Block]
    users: int
    """In all blocks."""
    sample: Iterator[Block]
    """Some of the users again, with all items and what the candidate stage found; none without such a stage."""
    times_chosen: np.ndarray
    """int64 [items]."""
    chosen: pl.DataFrame | None
    """With sequences, what users chose until now: as chosen.parquet beside the examples."""
