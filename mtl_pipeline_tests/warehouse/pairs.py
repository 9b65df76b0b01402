"""Candidates as rows."""

from __future__ import annotations

import numpy as np
import polars as pl

from mtl_pipeline.candidates import Block, Candidates


def rows_of(candidates: Candidates) -> list[pl.DataFrame]:
    """Of each block the pairs on offer, each with all its features, as rows of the examples have them."""
    return [rows_of_block(block, candidates.items) for block in candidates.blocks]


def rows_of_block(block: Block, items: pl.DataFrame) -> pl.DataFrame:
    user, item = (places.ravel() for places in np.indices(block.on_offer.shape))
    of_both = [
        each.features[user * (len(each.features) // max(1, len(block.users))) + each.kind[item]]
        for each in block.of_both
    ]
    which = item if block.items is None else block.items[user, item]
    rows = pl.concat([block.users[user], items[which], *of_both], how="horizontal")
    return rows.filter(pl.Series(block.on_offer.ravel()))
